"""`zeroguide connect`: what it changes in a project, what it leaves, and that again is no harm."""

import copy

import pytest
from click.testing import CliRunner

from ls_backend.cli import zeroguide
from ls_backend.connect import TEMPLATES, Connection, connect_project, template_config
from ls_backend.label_studio_api import LabelStudioRefuses
from ls_backend.labelling_config import parse_config
from ls_backend.settings import BasicAuth, Secret
from tests.ls_backend.studio_answers import BRUSH, KEY, Studio
from zgcore.errors import ConfigError

HERE = "http://backend:9090"
BOXES = '<View><Image name="image" value="$image"/><RectangleLabels name="r" toName="image"/></View>'


@pytest.fixture
def studio():
    return Studio()


def connected(studio, **wanted):
    """The steps, by what they are about."""
    with studio.serve() as (api, _):
        return {step.check: step for step in connect_project(api, Connection(1, HERE, **wanted))}


def changes(studio):
    """The requests that change something."""
    return [(method, path) for method, path, _ in studio.seen if method != "GET"]


def test_a_project_is_connected_and_keeps_its_config(studio):
    steps = connected(studio, auth=BasicAuth("me", Secret("hunter2")))
    assert {step.state for step in steps.values()} == {"ok"}
    (row,) = studio.backends.values()
    assert (row["url"], row["title"], row["basic_auth_user"]) == (HERE, "zeroguide", "me")
    assert "is_interactive" not in row
    assert studio.projects[1]["label_config"] == BRUSH
    assert [hook["url"] for hook in studio.hooks.values()] == [f"{HERE}/webhook"]


def test_again_changes_nothing(studio):
    wanted = {"set_config": True, "preannotate": True, "interactive": True}
    connected(studio, **wanted)
    before = copy.deepcopy([studio.projects, studio.backends, studio.hooks])
    steps = connected(studio, **wanted)
    assert [studio.projects, studio.backends, studio.hooks] == before
    assert steps["labelling config"].message == "is free_text already"


def test_the_webhook_gets_the_password(studio):
    """Label Studio makes it without one."""
    connected(studio)
    assert studio.hooks[1]["headers"] == {}
    studio.hooks[1]["headers"] = {"X-Proxy": "a", "authorization": "Basic old"}
    connected(studio, auth=BasicAuth("me", Secret("hunter2")))
    expected = {"X-Proxy": "a", "Authorization": "Basic bWU6aHVudGVyMg=="}  # base64 of me:hunter2
    assert studio.hooks[1]["headers"] == expected
    connected(studio)  # without a password no header is taken away
    assert studio.hooks[1]["headers"] == expected


def test_a_webhook_that_was_blocked_is_made_with_the_password(studio):
    auth = BasicAuth("me", Secret("hunter2"))
    studio.blocked = {"webhooks"}
    connected(studio, auth=auth)
    studio.blocked.clear()
    connected(studio, auth=auth)
    assert [hook["headers"] for hook in studio.hooks.values()] == [{"Authorization": "Basic bWU6aHVudGVyMg=="}]


def test_what_has_changed_is_brought_up_to_date(studio):
    connected(studio, auth=BasicAuth("me", Secret("old")))
    studio.backends[1]["title"] = "our own name"
    with studio.serve() as (api, _):
        list(connect_project(api, Connection(1, HERE + "/", BasicAuth("me", Secret("new")), interactive=True)))
    (row,) = studio.backends.values()
    assert (row["basic_auth_pass"], row["is_interactive"], row["title"]) == ("new", True, "our own name")


@pytest.mark.parametrize("config", ["<View></View>", '<View><Image name="photo" value="$photo"/></View>'])
def test_a_project_without_controls_gets_the_template(studio, config):
    studio.projects[1] = studio.new_project(1, config)
    assert connected(studio, template="closed_list")["labelling config"].message == "set to closed_list"
    (target,) = parse_config(studio.projects[1]["label_config"]).targets
    assert target.image.value == ("$photo" if "photo" in config else "$image")
    assert "person" in target.brush.labels


def test_the_image_is_taken_from_the_field_that_the_tasks_have(studio):
    studio.projects[1] = studio.new_project(1, "<View></View>")
    studio.tasks[1] = {"id": 1, "project": 1, "data": {'a"&b': "http://x/1.jpg"}}
    connected(studio)
    (target,) = parse_config(studio.projects[1]["label_config"]).targets
    assert target.image.value == '$a"&b'


def test_uploaded_files_have_no_field_of_their_own(studio):
    studio.projects[1] = studio.new_project(1, "<View></View>")
    studio.tasks[1] = {"id": 1, "project": 1, "data": {"$undefined$": "/data/upload/1/a.jpg"}}
    connected(studio)
    assert studio.projects[1]["label_config"] == template_config("free_text").strip()


def test_several_fields_are_not_guessed_between(studio):
    studio.projects[1] = studio.new_project(1, "<View></View>")
    studio.tasks[1] = {"id": 1, "project": 1, "data": {"left": "x", "right": "y"}}
    with pytest.raises(ConfigError, match="have the fields left, right, and which is the image is not told"):
        connected(studio)
    assert changes(studio) == []


def test_another_config_is_left_and_its_replacement_suggested(studio):
    studio.projects[1] = studio.new_project(1, BOXES)
    step = connected(studio)["labelling config"]
    assert (step.state, studio.projects[1]["label_config"]) == ("warning", BOXES)
    assert step.cure.endswith("--project 1 --set-config")
    assert connected(studio, set_config=True)["labelling config"].state == "ok"
    assert parse_config(studio.projects[1]["label_config"]).targets


def test_a_config_without_texts_is_left_with_a_hint(studio):
    studio.projects[1]["label_config"] = BRUSH.replace("perRegion", "x")
    step = connected(studio)["labelling config"]
    assert (step.state, step.cure) == ("warning", 'give TextArea "caption" perRegion="true"')


def test_a_config_that_annotations_need_is_not_replaced(studio):
    studio.used_labels = {"car"}
    with pytest.raises(ConfigError, match=r"keeps its labelling config, .* fit free_text: .*car \(1 annotation\)"):
        connected(studio, set_config=True)
    assert studio.projects[1]["label_config"] == BRUSH
    assert studio.backends == {}
    studio.used_labels = {"obj 2"}
    assert connected(studio, set_config=True)["labelling config"].message == "set to free_text"


def test_preannotation_shows_this_backends_predictions(studio):
    assert connected(studio, preannotate=True)["pre-annotation"].state == "ok"
    project = studio.projects[1]
    assert (project["show_collab_predictions"], project["model_version"]) == (True, "zeroguide")
    assert "evaluate_predictions_automatically" not in project


def test_without_it_the_project_is_left_as_it_is(studio):
    before = copy.deepcopy(studio.projects)
    assert "pre-annotation" not in connected(studio)
    assert studio.projects == before


def test_a_backend_that_is_not_the_first_is_told(studio):
    studio.backends[0] = {"id": 0, "project": 1, "url": "http://other:9090"}
    step = connected(studio)["ML backend"]
    assert step.state == "warning"
    assert "http://other:9090 was before, and only the first is asked" in step.message


def test_blocked_webhooks_are_told_and_the_backend_is_connected(studio):
    studio.blocked = {"webhooks"}
    steps = connected(studio)
    assert (steps["ML backend"].state, steps["webhook"].state) == ("ok", "warning")
    assert len(studio.backends) == 1
    studio.blocked.clear()
    assert connected(studio)["webhook"].state == "ok"
    assert len(studio.backends) == len(studio.hooks) == 1


def test_blocked_backends_name_both_settings(studio):
    studio.blocked = {"ml"}
    with pytest.raises(LabelStudioRefuses, match="start it with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED"):
        connected(studio)


def test_a_backend_that_is_not_reached_leads_to_the_doctor(studio):
    studio.unreachable = '<a href="x">Learn</a> Connection refused'
    with pytest.raises(LabelStudioRefuses, match=r"says: .*Learn Connection refused; zeroguide doctor --url .* tells"):
        connected(studio)
    assert studio.backends == {}


@pytest.mark.parametrize("refusal", ["ml", "unreachable"])
def test_a_project_that_cannot_be_connected_is_left_as_it_was(studio, refusal):
    studio.projects[1] = studio.new_project(1, BOXES)
    before = copy.deepcopy(studio.projects)
    studio.blocked, studio.unreachable = {"ml"} & {refusal}, refusal
    with pytest.raises(LabelStudioRefuses):
        connected(studio, set_config=True, preannotate=True)
    assert studio.projects == before


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_carry_masks_and_texts(name):
    for field in ("image", 'a"&b'):
        config = parse_config(template_config(name, field))
        assert [target.image.value for target in config.targets] == [f"${field}"]
        assert config.targets[0].text is not None


# The command


def run(*arguments, **environment):
    return CliRunner(env={"LABEL_STUDIO_URL": "", "LABEL_STUDIO_API_KEY": "", **environment}).invoke(
        zeroguide, ["connect", *arguments]
    )


def test_the_command_connects_and_ends_with_the_link(studio):
    with studio.serve() as (_, settings):
        where = {"LABEL_STUDIO_API_KEY": KEY, "BASIC_AUTH_USER": "me", "BASIC_AUTH_PASS": "hunter2"}
        result = run("--url", settings.label_studio_url, "--project", "1", "--preannotate", **where)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[-1] == f"Open {settings.label_studio_url}/projects/1/data"
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 4
    assert "hunter2" not in result.output
    (row,) = studio.backends.values()
    assert (row["url"], row["basic_auth_pass"]) == ("http://127.0.0.1:9090", "hunter2")


def test_the_config_is_printed_without_label_studio():
    result = run("--print-config", "--template", "free_text_prompts")
    assert (result.exit_code, result.output) == (0, template_config("free_text_prompts"))


def test_wrong_use_names_the_cure(studio):
    result = run("--url", "http://x")
    assert (result.exit_code, "which project? Name it: --project N" in result.output) == (2, True)
    result = run("--url", "http://x", "--project", "1")
    assert isinstance(result.exception, ConfigError)
    assert "a token is needed; set LABEL_STUDIO_API_KEY" in str(result.exception)
    result = run("--url", "http://x", "--project", "1", "--backend-url", "ftp://x")
    assert "must be an address like http://localhost:8080" in result.output


def test_a_terminal_is_asked_for_the_token(studio, monkeypatch):
    from ls_backend import cli_label_studio

    with studio.serve() as (_, settings):
        monkeypatch.setattr(cli_label_studio, "_somebody_can_answer", lambda: True)
        runner = CliRunner(env={"LABEL_STUDIO_API_KEY": "", "LABEL_STUDIO_URL": settings.label_studio_url})
        result = runner.invoke(zeroguide, ["connect", "--project", "1"], input=KEY + "\n")
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    assert len(studio.backends) == 1
