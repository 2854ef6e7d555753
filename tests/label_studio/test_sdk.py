"""Label Studio's own SDK drives project and backend, and reads the masks as they were meant."""

import json
import subprocess
from pathlib import Path

from tests.label_studio import photos
from tests.label_studio.results import regions
from tests.label_studio.studio import PATIENCE_S, TEMPLATES
from tests.ls_backend.serving import data_uri

SESSION = Path(__file__).with_name("sdk_session.py")


def test_the_sdk_sees_the_same_masks(studio, backend, label_studio):
    asked = {
        "studio": studio.url,
        "backend": backend.url,
        "token": studio.token,
        "config": (TEMPLATES / "free_text.xml").read_text(),
        "image": data_uri(photos.encoded(photos.picture("cat"), "PNG")),
    }
    command = [label_studio.program.with_name("python"), SESSION]
    how = {"input": json.dumps(asked), "capture_output": True, "text": True, "timeout": PATIENCE_S}
    run = subprocess.run(command, **how, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert (told["state"], told["model_version"]) == ("CO", backend.version)
    ((prediction,),) = studio.predictions(told["project"]).values()
    expected = regions(prediction["result"])
    areas = [{"id": key, "area": int(one.mask.sum()), "levels": [0, 255]} for key, one in expected.items()]
    assert told["predicted"] == told["accepted"] == areas
    assert told["texts"] == [[one.text] for one in expected.values()]
