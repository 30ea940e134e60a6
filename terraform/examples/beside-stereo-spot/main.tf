# The worker beside a stereo-spot deployment, in the place of its Python video-worker: over its buckets,
# queues, tables and endpoint. Its media-worker goes on cutting and joining, and its job-worker recording
# completions. docs/ops/migrate.md has the order: nothing runs here at first (`replicas = 0`), and one task once
# the desired count of its own video-worker service is 0, since the two do not share a limit.

module "data" {
  source       = "../../modules/existing"
  buckets      = var.buckets
  queues       = var.queues
  dead_letters = var.dead_letters
  tables       = var.tables
}

module "worker" {
  source                  = "../../modules/worker"
  name                    = var.name
  cluster_arn             = var.cluster_arn
  subnet_ids              = var.subnet_ids
  security_group_ids      = var.security_group_ids
  image                   = var.worker_image
  buckets                 = module.data.buckets
  queues                  = module.data.queues
  dead_letters            = module.data.dead_letters
  tables                  = module.data.tables
  segments                = { count = var.replicas }
  media                   = null
  completion_owner        = "job-worker"
  sagemaker_endpoint_name = var.endpoint_name
  inference_max_in_flight = var.endpoint_max_instances
  operator_principal_arns = var.operator_principal_arns
}

module "observability" {
  source        = "../../modules/observability"
  name          = var.name
  queues        = module.data.queues
  dead_letters  = module.data.dead_letters
  cluster_arn   = var.cluster_arn
  services      = module.worker.services
  pool          = module.worker.pool
  endpoint_name = var.endpoint_name
  emails        = var.emails
}
