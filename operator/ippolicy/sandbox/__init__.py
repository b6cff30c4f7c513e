"""An embedded cluster: a Kubernetes API, EC2 and a fleet of simulated aws-node."""
