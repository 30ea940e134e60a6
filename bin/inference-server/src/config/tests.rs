use super::*;
use clap::CommandFactory;

fn settings(arguments: &[&str]) -> Result<Settings, String> {
    let arguments = ["inference-server"].iter().chain(arguments);
    let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
    cli.settings.validate().map_err(|error| error.to_string())?;
    Ok(cli.settings)
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    for (arguments, named) in [
        (&["--places", "0"][..], "1..=1000"),
        (&["--profile", "gcp"], "sagemaker, http, runpod"),
        (&["--profile", "runpod", "--address", "0.0.0.0:80"], "SERVER_ADDRESS"),
        (&["--profile", "http", "--address", "0.0.0.0:80"], "SERVER_TOKENS"),
        (&["--tokens", "short"], "SERVER_TOKENS"),
        (&["--inputs", "s3://B"], "s3://B"),
        (
            &["--engine", "draft", "--device", "cuda"],
            "SERVER_DEVICE=cuda: the engine draft runs on",
        ),
        (
            &["--engine", "draft", "--depth-size", "300"],
            "SERVER_DEPTH_SIZE is for the engines depth-",
        ),
        (&["--engine", "depth-anything", "--depth-size", "139"], "140..=1036"),
        (&["--engine", "depth-anything", "--depth-curve", "-4"], "SERVER_DEPTH_CURVE -4"),
        (&["--engine", "copy", "--reference"], "video-depth-anything, stereocrafter, not copy"),
        (
            &["--engine", "depth-from"],
            "[possible values: draft, copy, depth-anything, video-depth-anything, stereocrafter]",
        ),
        (&["--input-bucket-name", "B"], "INPUT_BUCKET_NAME"),
        (&["--drain-seconds", "3601"], "0..=3600"),
        (&["--origins", "cdn.example"], "cdn.example"),
        (&["--networks", "10.0.0.0/33"], "10.0.0.0/33"),
        (&["--gcs-access-key-id", "x"], "GCS_ACCESS_KEY_ID is set without GCS_SECRET_ACCESS_KEY"),
        (
            &["--gcs-secret-access-key", "x"],
            "GCS_SECRET_ACCESS_KEY is set without GCS_ACCESS_KEY_ID",
        ),
        (
            &["--tokens", "canary-canary-canary", "--tokens-file", "x"],
            "SERVER_TOKENS and SERVER_TOKENS_FILE are both set",
        ),
        (&["--tokens-file", "/nowhere"], "SERVER_TOKENS_FILE /nowhere: No such file"),
        (&["--gcs-access-key-id-file", "/nowhere"], "GCS_ACCESS_KEY_ID_FILE /nowhere: No such"),
        (&["--gcs-secret-access-key-file", "/"], "GCS_SECRET_ACCESS_KEY_FILE /: Is a directory"),
        (&["--hosts", "https://gpu.example"], "expected the name of a host"),
        (&["--gcs-endpoint-url", "storage.example"], "GCS_ENDPOINT_URL"),
        (&["--gcs-endpoint-url", "https://user:canary@x"], "GCS_ENDPOINT_URL"),
    ] {
        let error = settings(arguments).unwrap_err();
        assert!(error.contains(named) && !error.contains("canary"), "{error}");
    }
}

#[test]
fn only_sagemaker_leaves_the_limit_to_its_role() {
    let access = |arguments: &[&str]| settings(arguments).unwrap().access();
    assert_eq!(access(&[]).read, ["s3://*".parse().unwrap()]);
    assert_eq!(access(&["--profile", "http"]), Access::default());
    let named = ["--input-bucket-name", "in-x", "--outputs", "s3://out/jobs,gs://out"];
    let access = access(&named);
    assert_eq!(access.read, ["s3://in-x".parse().unwrap()]);
    assert_eq!(access.write.len(), 2);
}

#[test]
fn tokens_are_not_shown() {
    let secrets = ["--tokens", "canary-canary-canary", "--gcs-access-key-id", "canary"];
    let more = ["--gcs-secret-access-key", "canary"];
    let settings = settings(&[&secrets[..], &more].concat()).unwrap();
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn fuzz_every_variable() {
    let good = [
        ("--profile", "http"),
        ("--address", "127.0.0.1:8080"),
        ("--health-address", "[::1]:9090"),
        ("--places", "8"),
        ("--run-limit-seconds", "3600"),
        ("--drain-seconds", "25"),
        ("--body-bytes", "65536"),
        ("--tokens", "0123456789abcdef,canary-canary-canary"),
        ("--inputs", "s3://bucket/prefix,gs://*"),
        ("--input-bucket-name", "bucket"),
        ("--origins", "https://*.store.example:8443"),
        ("--networks", "10.0.0.0/8,::1/128"),
        ("--gcs-endpoint-url", "https://storage.example"),
        ("--metrics-provider", "cloudwatch"),
    ];
    let words = ["s3://", "https://", "/33", "0.0.0.0:80", "65536", "sagemaker", ",,", "-"];
    for (flag, value) in good {
        let mut taken = 0;
        parallax_fuzz::Cases::new(1000, &[value], &words).run_text(|text| {
            let argument = format!("{flag}={text}");
            match settings(&[&argument]) {
                Ok(settings) => {
                    taken += 1;
                    let shown = format!("{settings:?} {:?}", settings.access());
                    assert!(flag != "--tokens" || !shown.contains("canary"), "{shown}");
                }
                Err(error) => assert!(!error.is_empty()),
            }
        });
        assert!(taken > 0, "{flag}");
    }
}
