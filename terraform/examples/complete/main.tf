# Everything: buckets, queues and tables; the endpoint; the worker; who is told when something is wrong.

module "data" {
  source             = "../../modules/data"
  name               = var.name
  outcome_topic_arns = module.endpoint.outcome_topic_arns
}

module "endpoint" {
  source        = "../../modules/endpoint"
  name          = "${var.name}-inference"
  image         = "${aws_ecr_repository.this["inference-server"].repository_url}@${var.server_image_digest}"
  buckets       = module.data.buckets
  instance_type = var.instance_type
  max_instances = var.max_instances
}

module "worker" {
  source                  = "../../modules/worker"
  name                    = var.name
  cluster_arn             = aws_ecs_cluster.this.arn
  subnet_ids              = aws_subnet.private[*].id
  security_group_ids      = [aws_security_group.worker.id]
  image                   = "${aws_ecr_repository.this["video-worker"].repository_url}@${var.worker_image_digest}"
  cpu_architecture        = var.cpu_architecture
  buckets                 = module.data.buckets
  queues                  = module.data.queues
  dead_letters            = module.data.dead_letters
  tables                  = module.data.tables
  sagemaker_endpoint_name = module.endpoint.name
  inference_max_in_flight = module.endpoint.max_in_flight
  operator_principal_arns = var.operator_principal_arns
}

module "observability" {
  source        = "../../modules/observability"
  name          = var.name
  queues        = module.data.queues
  dead_letters  = module.data.dead_letters
  cluster_arn   = aws_ecs_cluster.this.arn
  services      = module.worker.services
  pool          = module.worker.pool
  endpoint_name = module.endpoint.name
  emails        = var.emails
}
