"""What `mmcourse hub` tells JupyterHub; the class folder comes in MMCOURSE_CLASS."""

import os
import sys
from pathlib import Path
from threading import Thread

from mmcourse.classroom.hub import HOST, ClassAuthenticator, free_port, host_of
from mmcourse.classroom.seat import ClassSpawner, hidden_copies

Thread(target=hidden_copies, daemon=True).start()  # takes seconds: before the first student comes
c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub defines it
folder = Path(os.environ["MMCOURSE_CLASS"])

c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['MMCOURSE_HUB_PORT']}"
c.JupyterHub.subdomain_host = f"http://{HOST}.localhost:{os.environ['MMCOURSE_HUB_PORT']}"
c.JupyterHub.subdomain_hook = host_of
c.JupyterHub.hub_port = free_port()
c.JupyterHub.db_url = f"sqlite:///{folder}/hub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = str(folder / "hub" / "cookie_secret")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{free_port()}"
c.ConfigurableHTTPProxy.command = [sys.executable, "-m", "mmcourse.classroom.hub_proxy", f"{HOST}.localhost"]
# In milliseconds: the page on which a student waits for the server is one long request.
c.ConfigurableHTTPProxy.command += ["--proxy-timeout", "180000"]
c.ConfigurableHTTPProxy.pid_file = str(folder / "hub" / "proxy.pid")
c.JupyterHub.cleanup_servers = True

c.JupyterHub.authenticator_class = ClassAuthenticator
c.ClassAuthenticator.folder = str(folder)
c.Authenticator.allow_all = True  # of those who know a password of accounts.csv
c.Authenticator.delete_invalid_users = True  # of those who had an account and have none now
c.Authenticator.auth_refresh_age = 30
c.Authenticator.refresh_pre_spawn = True

c.JupyterHub.spawner_class = ClassSpawner
c.ClassSpawner.folder = str(folder)
c.Spawner.args = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
c.Spawner.default_url = "/lab/tree/exercises"
c.Spawner.mem_limit = os.environ.get("MMCOURSE_HUB_MEMORY", "4G")  # of all that one student runs together
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
