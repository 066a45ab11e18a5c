module "store" {
  source = "../../modules/s3-store"

  bucket = var.bucket
  prefix = var.prefix
}

module "access" {
  source = "../../modules/s3-access"

  name        = var.name
  bucket_arn  = module.store.bucket_arn
  prefix      = module.store.prefix
  kms_key_arn = module.store.kms_key_arn
  trust       = { ecs_tasks = true }
}

locals {
  environment = [for name, value in module.store.env : { name = name, value = value }]

  logs = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = var.log_group
      awslogs-region        = var.region
      awslogs-stream-prefix = var.name
    }
  }
}

# Your code location, which loads definitions.py. No value passes through it, so it has no role.
resource "aws_ecs_task_definition" "code" {
  #checkov:skip=CKV_AWS_336:Dagster writes logs and temporary files to its own file system.
  family                   = "${var.name}-code"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = var.execution_role_arn

  container_definitions = jsonencode([{
    name             = "code"
    image            = var.image
    essential        = true
    environment      = local.environment
    logConfiguration = local.logs
    portMappings     = [{ containerPort = 4000, hostPort = 4000, protocol = "tcp" }]
    command = [
      "dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "4000",
      "--python-file", "/app/definitions.py",
    ]
  }])
}

# A run, the only task that can reach the values. The run launcher of your deployment starts it: the
# output dagster_yaml says how.
resource "aws_ecs_task_definition" "run" {
  #checkov:skip=CKV_AWS_336:Runs write temporary files, large ones too.
  family                   = "${var.name}-run"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = module.access.role_arn

  container_definitions = jsonencode([{
    name             = "run"
    image            = var.image
    essential        = true
    environment      = local.environment
    logConfiguration = local.logs
  }])
}
