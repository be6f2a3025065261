"""The side HTTP port: every unary method as Connect JSON, health, the webhooks of Forgejo and Gitea, and the predecessors' paths."""
