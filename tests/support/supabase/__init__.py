"""A Supabase project in real processes, for tests: PostgreSQL, PostgREST and the gateway in front of them."""
