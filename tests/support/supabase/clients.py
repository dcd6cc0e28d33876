"""Clients of a project, as an application opens them."""

import httpx

from darkroom.supabase import Supabase, open_supabase
from tests.support.supabase.project import Project


async def open_project(project: Project) -> Supabase:
    """A client with patience, whose key may do everything."""
    # A hundred calls at once wait for one of the 20 connections.
    return await open_supabase(project.url, project.service_role_key, timeouts=httpx.Timeout(30))
