"""What `mmcourse hub` tells JupyterHub; the class folder comes in MMCOURSE_CLASS."""

import os
import sys
from pathlib import Path

from mmcourse.classroom.hub import ClassAuthenticator, ClassSpawner, free_port

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub defines it
folder = Path(os.environ["MMCOURSE_CLASS"])

c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['MMCOURSE_HUB_PORT']}"
c.JupyterHub.hub_port = free_port()
c.JupyterHub.db_url = f"sqlite:///{folder}/hub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = str(folder / "hub" / "cookie_secret")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{free_port()}"
c.ConfigurableHTTPProxy.command = [str(Path(sys.executable).parent / "configurable-http-proxy")]
c.ConfigurableHTTPProxy.pid_file = str(folder / "hub" / "proxy.pid")
c.JupyterHub.cleanup_servers = True

c.JupyterHub.authenticator_class = ClassAuthenticator
c.ClassAuthenticator.folder = str(folder)
c.Authenticator.allow_all = True  # of those who know a password of accounts.csv

c.JupyterHub.spawner_class = ClassSpawner
c.ClassSpawner.folder = str(folder)
c.Spawner.args = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
c.Spawner.args += ["--allow-root"] if os.geteuid() == 0 else []
c.Spawner.default_url = "/lab/tree/exercises"
c.Spawner.mem_limit = os.environ.get("MMCOURSE_HUB_MEMORY", "4G")
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
