# The backend http with GPU machines of this account: buckets, queues and tables; the boxes; the worker, which
# asks them inside the network; who is told when something is wrong.

module "data" {
  source = "../../modules/data"
  name   = var.name
}

module "http" {
  source             = "../../modules/http"
  name               = "${var.name}-inference"
  buckets            = module.data.buckets
  boxes              = var.boxes
  image              = "${aws_ecr_repository.this["inference-server"].repository_url}@${var.server_image_digest}"
  instance_type      = var.instance_type
  subnet_ids         = aws_subnet.private[*].id
  security_group_ids = [aws_security_group.boxes.id]
}

module "worker" {
  source                     = "../../modules/worker"
  name                       = var.name
  cluster_arn                = aws_ecs_cluster.this.arn
  subnet_ids                 = aws_subnet.private[*].id
  security_group_ids         = [aws_security_group.worker.id]
  image                      = "${aws_ecr_repository.this["video-worker"].repository_url}@${var.worker_image_digest}"
  cpu_architecture           = var.cpu_architecture
  buckets                    = module.data.buckets
  queues                     = module.data.queues
  dead_letters               = module.data.dead_letters
  tables                     = module.data.tables
  inference_backend          = "http"
  inference_http_urls        = module.http.urls
  inference_http_allow_plain = module.http.allow_plain
  inference_http_token       = module.http.client_token
  inference_max_in_flight    = module.http.max_in_flight
  operator_principal_arns    = var.operator_principal_arns
}

module "observability" {
  source       = "../../modules/observability"
  name         = var.name
  queues       = module.data.queues
  dead_letters = module.data.dead_letters
  cluster_arn  = aws_ecs_cluster.this.arn
  services     = module.worker.services
  pool         = module.worker.pool
  emails       = var.emails
}
