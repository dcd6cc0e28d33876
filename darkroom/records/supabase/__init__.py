"""Records in a Supabase project: PostgreSQL behind PostgREST, each transaction one SQL function."""

from darkroom.records.supabase.adapter import SupabaseRecords
from darkroom.records.supabase.checking import check_project
from darkroom.records.supabase.functions import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "SupabaseRecords", "check_project"]
