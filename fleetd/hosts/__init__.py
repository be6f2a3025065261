"""Commands on execution hosts: started, watched and ended, here or over SSH (spec M5, M5a)."""
