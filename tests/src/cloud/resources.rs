//! Queues, buckets and tables as terraform/modules/data declares them; tools/check-terraform compares the two.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Event, FilterRule, FilterRuleName,
    NotificationConfiguration, NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
};
use aws_sdk_sqs::types::QueueAttributeName;
use parallax_aws::{Aws, Tables};

/// Seconds that a message stays hidden for receivers that do not say: queues.tf.
const VISIBILITY: &str = "120";
const MAX_RECEIVES: u32 = 120;
const DAY: u32 = 24 * 3600;

/// A queue and its dead-letter queue, by address.
#[derive(Debug, Clone)]
pub struct QueueUrls {
    /// The queue.
    pub queue: String,
    /// Where its redrive policy leads.
    pub dead_letters: String,
}

/// The four queues.
#[derive(Debug, Clone)]
pub struct Queues {
    /// Events of sources.
    pub chunking: QueueUrls,
    /// Events of segments.
    pub video_worker: QueueUrls,
    /// Events of the output bucket.
    pub output_events: QueueUrls,
    /// Reassembly messages.
    pub reassembly: QueueUrls,
}

impl Queues {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, &QueueUrls); 4] {
        [
            ("chunking", &self.chunking),
            ("video-worker", &self.video_worker),
            ("output-events", &self.output_events),
            ("reassembly", &self.reassembly),
        ]
    }
}

async fn attribute(sqs: &aws_sdk_sqs::Client, url: &str, name: QueueAttributeName) -> String {
    let call = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone());
    call.send().await.unwrap().attributes.unwrap()[&name].clone()
}

async fn queue(sqs: &aws_sdk_sqs::Client, name: &str) -> QueueUrls {
    let call = sqs.create_queue().queue_name(format!("stereo-{name}-dlq"));
    let kept = (14 * DAY).to_string();
    let call = call.attributes(QueueAttributeName::MessageRetentionPeriod, kept);
    let dead_letters = call.send().await.unwrap().queue_url.unwrap();
    let arn = attribute(sqs, &dead_letters, QueueAttributeName::QueueArn).await;
    let redrive =
        serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES });
    let call = sqs
        .create_queue()
        .queue_name(format!("stereo-{name}"))
        .attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY)
        .attributes(QueueAttributeName::MessageRetentionPeriod, (7 * DAY).to_string())
        .attributes(QueueAttributeName::ReceiveMessageWaitTimeSeconds, "20")
        .attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
    QueueUrls { queue: call.send().await.unwrap().queue_url.unwrap(), dead_letters }
}

/// The queues of queues.tf.
pub(super) async fn queues(aws: &Aws) -> Queues {
    let sqs = aws.sqs();
    Queues {
        chunking: queue(&sqs, "chunking").await,
        video_worker: queue(&sqs, "video-worker").await,
        output_events: queue(&sqs, "output-events").await,
        reassembly: queue(&sqs, "reassembly").await,
    }
}

async fn bucket(aws: &Aws, name: &str, told: &[(&str, &QueueUrls)]) {
    let s3 = aws.s3();
    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .build();
    s3.create_bucket().bucket(name).create_bucket_configuration(place).send().await.unwrap();
    let mut all = NotificationConfiguration::builder();
    for (prefix, queue) in told {
        let arn = attribute(&aws.sqs(), &queue.queue, QueueAttributeName::QueueArn).await;
        let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(*prefix).build();
        let keys = S3KeyFilter::builder().filter_rules(rule).build();
        let one = QueueConfiguration::builder()
            .queue_arn(arn)
            .events(Event::S3ObjectCreated)
            .filter(NotificationConfigurationFilter::builder().key(keys).build());
        all = all.queue_configurations(one.build().unwrap());
    }
    let call = s3.put_bucket_notification_configuration().bucket(name);
    call.notification_configuration(all.build()).send().await.unwrap();
}

/// The buckets of buckets.tf, which tell their queues what arrives.
pub(super) async fn buckets(aws: &Aws, queues: &Queues, input: &str, output: &str) {
    bucket(aws, input, &[("input/", &queues.chunking), ("segments/", &queues.video_worker)]).await;
    let told = ["jobs/", "sagemaker-async-responses/", "sagemaker-async-failures/"];
    let told = told.map(|prefix| (prefix, &queues.output_events));
    bucket(aws, output, &told).await;
}

/// The tables of tables.tf.
pub(super) async fn tables(aws: &Aws) -> Tables {
    use ScalarAttributeType::{N, S};
    let name = |kind: &str| format!("stereo-{kind}");
    let tables = Tables {
        jobs: name("jobs"),
        completions: name("segment-completions"),
        triggers: name("reassembly-triggered"),
        invocations: name("inference-invocations"),
    };
    let indices = [("status", "created_at"), ("status", "completed_at")];
    table(aws, &tables.jobs, &[("job_id", S)], &indices).await;
    table(aws, &tables.completions, &[("job_id", S), ("segment_index", N)], &[]).await;
    table(aws, &tables.triggers, &[("job_id", S)], &[]).await;
    table(aws, &tables.invocations, &[("output_location", S)], &[]).await;
    for table in [&tables.triggers, &tables.invocations] {
        let expiry =
            TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build().unwrap();
        let call = aws.dynamodb().update_time_to_live().table_name(table);
        call.time_to_live_specification(expiry).send().await.unwrap();
    }
    tables
}

async fn table(
    aws: &Aws,
    name: &str,
    keys: &[(&str, ScalarAttributeType)],
    indices: &[(&str, &str)],
) {
    let element = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let define = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let client = aws.dynamodb();
    let mut call = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for ((name, kind), role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        call = call.key_schema(element(name, role));
        call = call.attribute_definitions(define(name, kind.clone()));
    }
    if !indices.is_empty() {
        call = call.attribute_definitions(define("status", ScalarAttributeType::S));
    }
    for (hash, range) in indices {
        call = call.attribute_definitions(define(range, ScalarAttributeType::N));
        let index = GlobalSecondaryIndex::builder()
            .index_name(format!("{hash}-{range}"))
            .key_schema(element(hash, KeyType::Hash))
            .key_schema(element(range, KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .unwrap();
        call = call.global_secondary_indexes(index);
    }
    call.send().await.unwrap();
}
