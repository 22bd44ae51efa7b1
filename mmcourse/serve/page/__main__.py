"""`python -m mmcourse.serve.page` fetches what the second page runs the model with."""

import sys

from mmcourse.serve.page.vendor import main

sys.exit(main())
