"""A Django project in a file, for WSGI and ASGI, with the middleware that compresses."""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

import inferd_engine as ie
from inferd_engine.web.django import stream_response

backend = ie.OpenAiCompat(base_url=os.environ["UPSTREAM"], api_key="", model="m")


def chat(request):
    """Answer with a stream."""
    protocol = request.GET.get("protocol", "inferd")
    return stream_response(
        request, backend, request.body.decode(), heartbeat=1.0, protocol=protocol
    )


def page(_):
    """Give the example's page."""
    return HttpResponse(Path(os.environ["PAGE"]).read_bytes())


urlpatterns = [
    path("", page),
    path("ready", lambda _: HttpResponse("ready")),
    path("chat", chat),
]
settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="test",
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
)
django.setup()
wsgi = get_wsgi_application()
asgi = get_asgi_application()
