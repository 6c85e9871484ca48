"""An htpasswd file and its groups become people; what is wrong is told by line and shows no hash."""

from pathlib import Path

import pytest

from gateway.config.cautions import cautions
from gateway.config.load import load
from gateway.config.users import file_users
from gateway.errors import ConfigError
from gateway.users.file import UserRecord
from tests.config.files import loaded, refused

BCRYPT = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"
LOGIN = (
    "login: {verify: {htpasswd: {file: htpasswd, groups_file: groups, roles: [user]}}}\nroles: {user: {}, admin: {}}\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "htpasswd").write_text(f"ann:{BCRYPT}\n")
    (tmp_path / "groups").write_text("admin: ann\n")
    return tmp_path


def test_lines_become_people_with_the_roles_of_all_and_of_their_groups(folder: Path) -> None:
    (folder / "htpasswd").write_text(f"# people\n\nann:{BCRYPT}\r\nbob:{BCRYPT}:Bob, second floor\neve:!{BCRYPT}\n")
    (folder / "groups").write_text("# groups\nadmin: ann carl\nuser: bob\nadmin: BOB\n")
    assert file_users(loaded(folder, LOGIN)) == {
        "ann": UserRecord(BCRYPT, ("user", "admin")),
        "bob": UserRecord(BCRYPT, ("user", "admin")),
        "eve": UserRecord(BCRYPT, ("user",), disabled=True),
    }


def test_a_member_of_a_group_who_is_no_user_is_a_caution(folder: Path) -> None:
    (folder / "htpasswd").write_text(f"ann:{BCRYPT}\nbob:{BCRYPT}\n")
    (folder / "groups").write_text("admin: ann Bob ghost\n" + "user: " + " ".join(f"u{n}" for n in range(12)) + "\n")
    config = loaded(folder, LOGIN)
    users = file_users(config)
    assert users["bob"].roles == ("user", "admin")
    said = cautions(config, users)
    assert said[0].endswith(f"groups:1: 'ghost' of 'admin' is nobody in {folder / 'htpasswd'}")
    assert said[-1] == "3 more members of groups are nobody"
    assert len(said) == 11
    (folder / "groups").unlink()
    assert cautions(config, users) == [], "what went since then is the next reload's to say"


def test_a_file_alone_is_enough(folder: Path) -> None:
    config = loaded(folder, "login: {verify: {htpasswd: htpasswd}}")
    assert file_users(config) == {"ann": UserRecord(BCRYPT)}
    assert folder / "htpasswd" in config.files(), "so a change of it is taken up"


@pytest.mark.item(133)
@pytest.mark.parametrize(
    "weak",
    [
        "{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=",
        "$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00",
        "rqXexS6ZhobKA",
        "$5$rounds=5000$salt$Gcm6FsVtF/Qa77ZKD.iwsJlCVPY0XSMgLJL0Hnww/c1",
        "secret",
        "",
    ],
    ids=["SHA-1", "MD5", "crypt", "SHA-256 crypt", "clear", "empty"],
)
def test_a_weak_hash_is_a_caution_and_not_a_fault(folder: Path, weak: str) -> None:
    (folder / "htpasswd").write_text(f"ann:{weak}\nbob:{BCRYPT}\n")
    config = loaded(folder, LOGIN)
    said = cautions(config, file_users(config))
    assert [text for text in said if "'ann'" in text and "htpasswd -B" in text] == said
    assert not weak or weak not in said[0]


def test_of_many_weak_hashes_the_first_are_named_and_the_others_counted(folder: Path) -> None:
    (folder / "htpasswd").write_text("".join(f"u{number}:{{SHA}}x\n" for number in range(25)))
    (folder / "groups").write_text("")
    config = loaded(folder, LOGIN)
    said = cautions(config, file_users(config))
    assert len(said) == 11
    assert said[-1] == "15 more users have hashes that no password matches"


@pytest.mark.parametrize(
    ("htpasswd", "groups", "said"),
    [
        (f"ann {BCRYPT}", "", "htpasswd:1:1: there is no colon\n    a line is name:hash"),
        ("", "", "htpasswd:1:1: nobody is in the file"),
        ("# all\n\n# gone\n", "admin: ann", "htpasswd:1:1: nobody is in the file"),
        (f"\n:{BCRYPT}", "", "htpasswd:2:1: user '': name and sub have 1 to 255 characters"),
        (f"ann:{BCRYPT}\nAnn:{BCRYPT}", "", "htpasswd:2:1: user 'Ann' is there twice, first on line 1"),
        (f"a\tb:{BCRYPT}", "", "htpasswd:1:1: user 'a\\tb': name and sub have"),
        (f"ann:{'x' * 1025}", "", "the password is longer than 1024 bytes"),
        (f"ann:{BCRYPT}", "admins: ann", 'groups:1:1: no role is called "admins"\n    did you mean "admin"?'),
        (f"ann:{BCRYPT}", "admin ann", "groups:1:1: there is no colon\n    a line is role: name name"),
    ],
)
def test_what_is_wrong_is_told_by_its_line_without_the_hash(
    folder: Path, htpasswd: str, groups: str, said: str
) -> None:
    (folder / "htpasswd").write_text(htpasswd)
    (folder / "groups").write_text(groups)
    message = refused(folder, LOGIN)
    assert said in message
    assert BCRYPT not in message


def test_a_file_that_cannot_be_read_and_a_role_that_there_is_not_are_faults_of_the_configuration(folder: Path) -> None:
    assert "login.verify.htpasswd.roles[0]: no role is called" in refused(folder, LOGIN.replace("[user]", "[usr]"))
    (folder / "htpasswd").write_bytes(b"ann:\xff\n")
    assert "login.verify.htpasswd: htpasswd: the file is not UTF-8" in refused(folder, LOGIN)
    (folder / "htpasswd").unlink()
    assert "login.verify.htpasswd: htpasswd: there is no such file" in refused(folder, LOGIN)


def test_what_breaks_between_check_and_use_is_refused_too(folder: Path) -> None:
    config = loaded(folder, LOGIN)
    (folder / "htpasswd").write_text("nothing")
    with pytest.raises(ConfigError, match="there is no colon"):
        file_users(config)


# --- the section login.verify ---


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        ("{}", "passwords are checked in one place\n"),
        ("{htpasswd: htpasswd, database: {}}", "write file, htpasswd, database or callout"),
        ("{callout: users}", '"users" is not the URL of a service'),
        ("{callout: 'ftp://users/x'}", "is not the URL of a service"),
        ("{callout: 'https://gw:hunter2@users/x'}", "a URL is no place for a password"),
        ("{callout: 'https://users/x y'}", "is not the URL of a service"),
        ("{callout: 'https://users:99999/'}", "is not the URL of a service"),
        ("{callout: 'https://[::1/'}", "is not the URL of a service"),
        ("{callout: 'https://users/x#y'}", "never sent"),
        ("{callout: 'http://users/x'}", "url: passwords and people's records would cross the network in clear"),
        ("{callout: {url: 'https://u/x', lookup_url: 'http://u/y'}}", "lookup_url: passwords and people's"),
        ("{callout: {url: 'https://u/x', token: short}}", "16"),
        ("{callout: {url: 'https://u/x', token: 'xq3 9fh27gqodh2837fgh'}}", "printable ASCII without spaces"),
        ("{callout: {url: 'https://u/x', token_header: X-Key}}", "there is no token for token_header"),
        ("{callout: {url: 'https://u/x', certificate_file: a}}", "certificate_file and key_file belong together"),
        ("{callout: {url: 'http://localhost/x', ca_file: htpasswd}}", "no URL is https"),
        ("{callout: {url: 'https://u/x', ca_file: nowhere}}", "nowhere cannot be read"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(folder: Path, verify: str, said: str) -> None:
    message = refused(folder, f"login: {{verify: {verify}}}")
    assert said in message
    assert "hunter2" not in message


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8"])
def test_without_tls_only_this_machine_is_asked(folder: Path, host: str) -> None:
    loaded(folder, f"login: {{verify: {{callout: 'http://{host}/verify'}}}}")
    config = loaded(folder, "login: {verify: {callout: {url: 'http://users/verify', insecure_http: true}}}")
    assert "passwords go to the users' service in clear" in cautions(config, {})[0]


@pytest.mark.parametrize("section", ["callout: {url: 'https://u/x', token_file: t}", "database: {password_file: t}"])
def test_a_secret_of_the_user_store_is_read_from_its_file_and_never_shown(folder: Path, section: str) -> None:
    (folder / "t").write_text("xq39fh27gqodh2837fgh\n")
    config = loaded(folder, f"login: {{verify: {{{section}}}}}")
    assert config.login is not None
    verify = config.login.verify
    secret = verify.callout.token if verify.callout is not None else None
    if verify.database is not None:
        secret = verify.database.password
    assert secret is not None
    assert secret.value == b"xq39fh27gqodh2837fgh"
    assert "xq39" not in repr(config) + config.model_dump_json()


def test_an_htpasswd_file_is_checked_with_the_configuration_of_a_real_file(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(f"version: 1\n{LOGIN}")
    assert load(folder / "gateway.yaml", {}).login is not None
