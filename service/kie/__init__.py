"""The Kie dialect (Kie.ai Suno API and its siblings): its shapes, its rules, its routes."""
