"""An application of your own with Darkroom under /pictures: `python mount.py`, then open http://127.0.0.1:8000/pictures/."""

import os

import uvicorn
from fastapi import FastAPI

from darkroom import logs
from darkroom.api import mount
from darkroom.settings import read_settings

app = FastAPI(title="Shop")


@app.get("/")
async def home() -> dict[str, str]:
    """A route of the application itself."""
    return {"pictures": "/pictures/"}


settings = read_settings()
logs.configure(settings)
mount(app, "/pictures", settings)

if __name__ == "__main__":
    # Event streams stay open until their job ends; the time limit lets the server stop without waiting for them.
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=10)
