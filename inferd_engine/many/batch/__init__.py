"""Many prompts for one backend: bounded, resumable, and ended as one."""
