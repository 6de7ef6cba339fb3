"""How each family of diffusers pipelines reads text: one module a family."""
