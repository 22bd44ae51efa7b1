"""What a cluster needs of the service: a container file, its packages, a bill of materials, Kubernetes manifests."""
