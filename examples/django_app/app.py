"""A page that talks with a model: gunicorn -k gthread app, or uvicorn app:asgi_application."""

from django.conf import settings
from django.core import asgi, wsgi
from django.shortcuts import render
from django.urls import path

import inferd_engine as ie
from inferd_engine.web.django import stream_response

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["."]}]
CSRF = ["django.middleware.csrf.CsrfViewMiddleware"]
settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY="x", TEMPLATES=TEMPLATES, MIDDLEWARE=CSRF, DEBUG=True
)
backend = ie.OpenAiCompat(model="qwen3-8b")


def chat(request):
    if request.method == "GET":
        return render(request, "page.html")
    return stream_response(request, backend, request.POST["said"])


urlpatterns = [path("", chat), path("chat", chat)]
application, asgi_application = wsgi.get_wsgi_application(), asgi.get_asgi_application()
