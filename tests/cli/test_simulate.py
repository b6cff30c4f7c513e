"""`ippolicy simulate` shows pools at rest, and flags the settings that starve pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Commands, Ended

R5 = ("simulate", "--instance-type", "r5.xlarge")


def held(ended: Ended, setting: int = 0) -> dict[int, int]:
    """Pods -> addresses held."""
    return {row["pods"]: row["held"] for row in ended.json["settings"][setting]["rows"]}


# -- the stories ----------------------------------------------------------------------------------


def test_a_warm_eni_holds_28_addresses_from_the_first_pod_and_42_from_the_fifteenth(
    ippolicy: Commands,
) -> None:
    ended = ippolicy(*R5, "--env", "WARM_ENI_TARGET=1", "--pods", "0-30", "-o", "json")
    rows = held(ended)
    assert (rows[0], rows[1], rows[14], rows[15]) == (14, 28, 28, 42)
    assert list(rows) == list(range(31))


def test_a_minimum_of_20_with_5_warm_holds_20_21_28_29(ippolicy: Commands) -> None:
    env = ("--env", "MINIMUM_IP_TARGET=20", "--env", "WARM_IP_TARGET=5")
    ended = ippolicy(*R5, *env, "--pods", "15,16,23,24", "-o", "json")
    assert held(ended) == {15: 20, 16: 21, 23: 28, 24: 29}
    assert [row["enis"] for row in ended.json["settings"][0]["rows"]] == [2, 2, 2, 3]


def test_ten_nodes_of_20_pods_go_from_420_to_220(ippolicy: Commands) -> None:
    compare = ("-e", "WARM_ENI_TARGET=1", "--compare", "MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2")
    ended = ippolicy(*R5, "--nodes", "10", "--pods", "20", *compare, "-o", "json")
    assert (held(ended, 0), held(ended, 1)) == ({20: 420}, {20: 220})
    idle = [setting["rows"][0]["idle"] for setting in ended.json["settings"]]
    assert idle == [220, 20]
    shown = ippolicy(*R5, "--nodes", "10", "--pods", "20", *compare)
    assert "restarts: some 130 EC2 calls for 10 nodes whose 30 ENIs become 20" in shown.flat


def test_a_minimum_alone_is_a_trap_in_which_the_sixth_pod_never_has_an_address(
    ippolicy: Commands,
) -> None:
    trap = ("--instance-type", "m5.large", "--env", "MINIMUM_IP_TARGET=5", "--pods", "5-7")
    ended = ippolicy("simulate", *trap)
    assert ended.status == 0
    assert "TRAP: MINIMUM_IP_TARGET=5 without WARM_IP_TARGET" in ended.out
    assert "with 6 pods a node, 1 of them never has an address" in ended.out
    rows = ippolicy("simulate", *trap, "-o", "json").json["settings"][0]["rows"]
    assert [row["unserved"] for row in rows] == [0, 1, 2]
    # 5 secondary addresses and the primary, as EC2 shows them.
    assert {row["subnet_addresses"] for row in rows} == {6}


def test_four_pods_with_five_warm_hold_nine(ippolicy: Commands) -> None:
    ended = ippolicy(
        "simulate", "--instance-type", "t3.2xlarge", "-e", "WARM_IP_TARGET=5", "--pods", "4",
        "-o", "json",
    )  # fmt: skip
    assert held(ended) == {4: 9}


@pytest.mark.parametrize(("kind", "alone"), [("t3.medium", 17), ("t3.large", 35)])
def test_prefixes_make_room_for_110_pods_once_max_pods_is_raised(
    ippolicy: Commands, kind: str, alone: int
) -> None:
    prefixes = ("-e", "ENABLE_PREFIX_DELEGATION=true", "-e", "WARM_PREFIX_TARGET=1")
    node = ("simulate", "--instance-type", kind, "--pods", "20")
    assert f"max-pods {alone} (110 with prefixes)" in ippolicy(*node).flat
    raised = ippolicy(*node, *prefixes)
    told = f"max-pods 110 must be set for kubelet: nodes made without prefixes have {alone}"
    assert told in raised.flat
    bound = ippolicy(*node, *prefixes, "--max-pods", str(alone), "--nodes", "3").flat
    assert "max-pods binds, not addresses: with prefixes kubelet may have max-pods 110" in bound


def test_three_nodes_of_35_pods_run_97_of_150(ippolicy: Commands) -> None:
    ended = ippolicy(
        "simulate", "--instance-type", "t3.large", "--max-pods", "35", "--nodes", "3",
        "-e", "ENABLE_PREFIX_DELEGATION=true", "-e", "WARM_PREFIX_TARGET=1", "--pods", "50",
    )  # fmt: skip
    assert "max-pods 35 leaves room for 33 pods a node that need an address" in ended.flat
    assert "105 places, less 6 for aws-node and kube-proxy and 2 for CoreDNS: 97" in ended.flat


# -- settings -------------------------------------------------------------------------------------


def test_a_setting_that_aws_node_does_not_start_with_is_a_trap_without_rows(
    ippolicy: Commands,
) -> None:
    ended = ippolicy(*R5, "-e", "ENABLE_PREFIX_DELEGATION=true", "-o", "json")
    (setting,) = ended.json["settings"]
    assert (setting["starts"], setting["rows"]) == (False, [])
    assert setting["traps"][0].startswith("aws-node cannot start: ENABLE_PREFIX_DELEGATION is on")
    shown = ippolicy(*R5, "-e", "ENABLE_PREFIX_DELEGATION=true")
    assert "TRAP: aws-node cannot start" in shown.out


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ("WARM_ENI_TARGET=1 WARM_IP_TARGET=9", "WARM_ENI_TARGET is put aside: WARM_IP_TARGET and"),
        ("WARM_PREFIX_TARGET=1", "WARM_PREFIX_TARGET is put aside: ENABLE_PREFIX_DELEGATION is"),
        (
            "ENABLE_PREFIX_DELEGATION=true WARM_PREFIX_TARGET=1 WARM_ENI_TARGET=1",
            "WARM_ENI_TARGET is put aside: with prefixes WARM_PREFIX_TARGET rules",
        ),
        ("WARM_IP_TARGET=1", "a node gains at most 1 addresses every 5 s"),
        ("ENABLE_MULTI_NIC=true", "ENABLE_MULTI_NIC is not simulated"),
    ],
)
def test_what_a_setting_does_not_do_is_noted(ippolicy: Commands, env: str, told: str) -> None:
    (setting,) = ippolicy(*R5, "--compare", env, "-o", "json").json["settings"]
    assert any(told in note for note in setting["notes"])


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ("WARM_IP_TARGET=five", "WARM_IP_TARGET='five' is not a whole number"),
        ("WARM_ENI_TARGET=-1", "WARM_ENI_TARGET=-1 is negative, so ipamd takes 1"),
        ("WARM_IP_TARGET=-1", "WARM_IP_TARGET=-1 is negative, so ipamd takes 0"),
        ("MAX_ENI=0", "MAX_ENI=0 sets no limit"),
        ("ENABLE_PREFIX_DELEGATION=yes", "='yes' is neither true nor false to ipamd"),
        ("IP_COOLDOWN_PERIOD=-1", "aws-node cannot start: IP_COOLDOWN_PERIOD='-1'"),
    ],
)
def test_values_that_ipamd_replaces_without_a_word_are_traps(
    ippolicy: Commands, env: str, told: str
) -> None:
    (setting,) = ippolicy(*R5, "--compare", env, "-o", "json").json["settings"]
    assert any(told in trap for trap in setting["traps"])


def test_a_sound_setting_is_no_trap(ippolicy: Commands) -> None:
    env = "WARM_ENI_TARGET=1 WARM_PREFIX_TARGET=1 MAX_ENI=3 ENABLE_POD_ENI=true"
    (setting,) = ippolicy(*R5, "--compare", env, "-o", "json").json["settings"]
    assert setting["traps"] == []


def test_prefixes_without_nitro_are_noted_and_count_for_nothing(ippolicy: Commands) -> None:
    old = ("simulate", "--instance-type", "m4.large", "--pods", "3", "-o", "json")
    on = ippolicy(*old, "-e", "ENABLE_PREFIX_DELEGATION=true", "-e", "WARM_PREFIX_TARGET=1")
    (setting,) = on.json["settings"]
    assert any("m4.large is neither Nitro nor bare metal" in note for note in setting["notes"])
    assert setting["rows"] == ippolicy(*old).json["settings"][0]["rows"]


def test_a_pool_that_never_rests_is_said_to_cost_calls(ippolicy: Commands) -> None:
    ended = ippolicy(*R5, "-e", "WARM_ENI_TARGET=0", "--custom-networking", "--pods", "0-1")
    assert "with 0 pods it never rests" in ended.out


def test_of_several_network_cards_the_default_one_is_shown(ippolicy: Commands) -> None:
    ended = ippolicy("simulate", "--instance-type", "p4d.24xlarge", "-o", "json")
    (setting,) = ended.json["settings"]
    assert any("has 4 network cards: only the pool of the default" in n for n in setting["notes"])


def test_more_settings_than_there_are_letters_are_refused(ippolicy: Commands) -> None:
    many = [part for n in range(27) for part in ("--compare", f"WARM_IP_TARGET={n}")]
    ended = ippolicy(*R5, *many)
    assert (ended.status, "at most 26 can be compared" in ended.err) == (2, True)


def test_custom_networking_leaves_the_first_eni_idle(ippolicy: Commands) -> None:
    plain = ippolicy(*R5, "--pods", "50", "-o", "json").json["settings"][0]
    custom = ippolicy(*R5, "--pods", "50", "--custom-networking", "-o", "json").json["settings"][0]
    assert (plain["max_pods"], custom["max_pods"]) == (58, 44)
    assert (plain["rows"][0]["served"], custom["rows"][0]["served"]) == (50, 42)


def test_a_type_may_be_given_by_its_limits(ippolicy: Commands) -> None:
    limits = ("--enis", "4", "--addresses-per-eni", "15", "--pods", "1,15", "-o", "json")
    ended = ippolicy("simulate", *limits)
    assert held(ended) == {1: 28, 15: 42}
    assert ended.json["instance_type"]["name"] == "custom"
    named = ippolicy("simulate", "--instance-type", "x9.new", *limits)
    assert named.json["instance_type"]["name"] == "x9.new"


# -- how it is shown ------------------------------------------------------------------------------


def test_tables_fit_a_terminal_however_many_settings_there_are(ippolicy: Commands) -> None:
    many = [part for n in range(1, 12) for part in ("--compare", f"WARM_IP_TARGET={n}")]
    ended = ippolicy(*R5, *many, "--nodes", "10000", "--pods", "0-3,50")
    assert ended.status == 0
    assert ended.widest <= 80
    assert ended.out.count("pods  ") >= 2
    prefixes = ("-e", "ENABLE_PREFIX_DELEGATION=true", "-e", "WARM_PREFIX_TARGET=1")
    assert ippolicy(*R5, *prefixes, "--nodes", "10000").widest <= 80


def test_csv_has_a_line_a_setting_and_number_of_pods_and_traps_go_to_stderr(
    ippolicy: Commands,
) -> None:
    env = ("--compare", "MINIMUM_IP_TARGET=5", "--compare", "WARM_IP_TARGET=5")
    ended = ippolicy(*R5, *env, "--pods", "5,6", "-o", "csv")
    assert [(row["setting"], row["pods"], row["held"]) for row in ended.csv] == [
        ("A", "5", "5"),
        ("A", "6", "5"),
        ("B", "5", "10"),
        ("B", "6", "11"),
    ]
    assert ended.err.startswith("ippolicy: TRAP in A: MINIMUM_IP_TARGET=5")


def test_an_answer_may_go_into_a_file(ippolicy: Commands, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    ended = ippolicy(*R5, "--pods", "1", "-o", "csv", "--out", out)
    assert (ended.status, ended.out) == (0, "")
    assert out.read_text().splitlines()[1].startswith("A,")
    refused = ippolicy(*R5, "--out", tmp_path / "nowhere" / "x")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "cannot be written" in refused.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--pods", "1"), "which nodes? Give --instance-type"),
        (("--instance-type", "r5.xlrge"), "did you mean r5.xlarge"),
        (("--enis", "3"), "--enis and --addresses-per-eni go together"),
        (
            ("--instance-type", "m5.large", "--enis", "3", "--addresses-per-eni", "10"),
            "the limits of m5.large are known",
        ),
        ((*R5[1:], "--env", "WARM_IP_TRAGET=1"), "did you mean WARM_IP_TARGET?"),
        ((*R5[1:], "--env", "LOG_LEVEL=1"), "LOG_LEVEL is no variable that ipamd's pool obeys"),
        ((*R5[1:], "--env", "WARM_IP_TARGET"), "'WARM_IP_TARGET' sets nothing"),
        ((*R5[1:], "-e", "WARM_IP_TARGET=1", "-e", "WARM_IP_TARGET=2"), "is set twice"),
        ((*R5[1:], "--pods", "3-1"), "--pods '3-1' is no number of pods"),
        ((*R5[1:], "--pods", "0-9999"), "at most 1000 rows"),
        ((*R5[1:], "--pods", "many"), "'many' is no number of pods"),
        ((*R5[1:], "-o", "png", "--out", "x.png"), "give --trace FILE"),
        ((*R5[1:], "--nodes", "0"), "'--nodes': 0 is not in the range"),
        ((*R5[1:], "--colour"), "No such option '--colour'"),
        ((*R5[1:], "--trace", "/nonexistent/day.csv"), "cannot be read"),
        ((*R5[1:], "--trace", "day.csv", "--nodes", "3"), "--trace has pods and nodes of its own"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    ippolicy: Commands, arguments: tuple[str, ...], told: str
) -> None:
    ended = ippolicy("simulate", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("ippolicy: ")
