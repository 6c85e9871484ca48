"""The security checklist for tokens and keys, statement by statement, each with the tests that hold it.

Numbers are those of the project's checklist: 1 to 30 the form of a token, 31 to 55 its claims, E1 to E20 what others
got wrong. To see a statement held: `pytest tests/test_checklist.py -k E6 -v` names its tests. A statement without a
test, or with one that is gone, fails.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

JWS = "tokens/test_checklist_jws.py"
CLAIMS = "tokens/test_checklist_claims.py"
SIGNING = "tokens/test_signing.py"
RING = "tokens/test_ring.py"
HOSTILE = "tokens/test_hostile_signatures.py"
TRUSTED = "tokens/test_trusted.py"
CACHE = "tokens/test_cache.py"
FUZZ = "tokens/test_fuzz.py"
JWKS = "outbound/test_jwks.py"
STREET = "journeys/test_trusted.py"

CHECKLIST: dict[str, tuple[str, ...]] = {
    # --- the form of a token ---
    "1": (f"{JWS}::alg_none_in_any_spelling_is_refused",),
    "2": (f"{JWS}::an_algorithm_in_the_wrong_case_is_refused",),
    "3": (
        f"{JWS}::an_hmac_under_the_public_key_is_refused_in_every_form_of_the_key",
        f"{JWS}::a_public_key_in_pem_is_no_secret",
    ),
    "4": (
        f"{JWS}::symmetric_and_asymmetric_keys_are_never_in_force_together",
        f"{JWS}::one_key_is_never_bound_to_two_algorithms",
        f"{RING}::secrets_and_public_keys_meet_only_when_one_side_is_retired",
    ),
    "5": (
        f"{JWS}::a_token_is_verified_with_the_algorithm_of_the_key_and_no_other",
        f"{JWS}::a_signature_of_another_algorithm_is_refused_even_when_the_header_lies",
        f"{JWS}::the_same_rsa_key_under_another_padding_is_refused",
    ),
    "6": (
        f"{JWS}::an_unknown_kid_is_refused_without_asking_anybody",
        f"{JWKS}::unknown_keys_cause_one_call_in_thirty_seconds",
    ),
    "7": (f"{JWS}::kid_is_a_name_in_a_table_and_nothing_else",),
    "8": (f"{JWS}::a_header_that_brings_or_names_a_key_is_refused_and_not_followed",),
    "9": (f"{JWS}::crit_with_anything_in_it_is_refused",),
    "10": (f"{JWS}::an_unencoded_payload_is_refused",),
    "11": (f"{JWS}::compressed_and_encrypted_tokens_are_refused_without_unpacking_them",),
    "12": (
        f"{JWS}::junk_behind_the_signature_is_refused",
        f"{JWS}::junk_inside_any_segment_is_refused",
        f"{JWS}::the_alphabet_of_ordinary_base64_is_refused",
    ),
    "13": (f"{JWS}::spare_bits_that_are_not_zero_are_refused_in_every_segment",),
    "14": (f"{JWS}::anything_but_three_full_segments_is_refused",),
    "15": (
        f"{JWS}::bytes_beyond_ascii_are_refused_and_never_an_error",
        "journeys/test_bad_input.py::a_garbage_token_is_401_or_400",
    ),
    "16": (f"{JWS}::a_deeply_nested_header_is_refused_and_never_an_error",),
    "17": (f"{JWS}::deeply_nested_claims_are_refused_though_the_signature_is_good",),
    "18": (f"{JWS}::only_utf_8_without_a_mark_is_read",),
    "19": (f"{JWS}::a_header_member_named_twice_is_refused",),
    "20": (f"{JWS}::a_claim_named_twice_is_refused",),
    "21": (f"{JWS}::claims_that_are_no_object_are_refused",),
    "22": (f"{JWS}::a_token_over_the_limit_is_refused_before_it_is_read",),
    "23": (
        f"{SIGNING}::an_rsa_key_of_less_than_2048_bits_is_refused",
        f"{SIGNING}::an_rsa_key_with_a_weak_exponent_is_refused",
        f"{SIGNING}::a_point_off_the_curve_is_refused",
        f"{SIGNING}::a_secret_shorter_than_its_hash_is_refused",
    ),
    "24": (f"{JWS}::a_weak_secret_refuses_the_start", f"{SIGNING}::a_placeholder_out_of_a_manual_is_refused"),
    "25": (
        f"{JWS}::the_ecdsa_twin_of_a_revoked_token_is_revoked",
        f"{HOSTILE}::the_twin_of_a_signature_is_valid_mathematics_and_the_same_identity",
    ),
    "26": (
        f"{JWS}::no_other_spelling_of_a_revoked_token_gets_past",
        f"{CACHE}::a_token_that_only_begins_like_a_kept_one_is_another_token",
        f"{CACHE}::what_is_refused_is_never_kept",
    ),
    "27": (f"{JWS}::secrets_are_compared_in_constant_time",),
    # Wycheproof's file is written anew by its classes: lengths, zeros, bit flips, blocks, ranges, layouts, curves.
    "28": (
        f"{HOSTILE}::a_signature_of_the_wrong_length_is_refused",
        f"{HOSTILE}::a_signature_of_zeros_or_ones_is_refused",
        f"{HOSTILE}::a_signature_with_any_single_bit_changed_is_refused",
        f"{HOSTILE}::a_mac_that_is_cut_or_of_another_hash_is_refused",
        f"{HOSTILE}::a_block_that_is_not_exactly_right_is_refused",
        f"{HOSTILE}::a_signature_outside_the_modulus_is_refused",
        f"{HOSTILE}::pss_with_another_hash_mask_or_salt_is_refused",
        f"{HOSTILE}::numbers_outside_the_order_of_the_curve_are_refused",
        f"{HOSTILE}::der_and_other_layouts_are_refused",
        f"{HOSTILE}::a_second_spelling_of_the_number_s_is_refused",
        f"{HOSTILE}::points_of_small_order_and_points_off_the_curve_are_refused",
        f"{TRUSTED}::what_is_no_sound_signature_key_is_left_out_and_said_so",
    ),
    "29": (
        f"{FUZZ}::of_5_000_edits_of_a_valid_token_none_is_accepted_and_none_raises",
        f"{FUZZ}::of_a_million_edits_of_a_valid_token_none_is_accepted_and_none_raises",
        f"{TRUSTED}::of_5_000_edits_of_a_foreign_token_none_is_accepted_and_none_raises",
        "journeys/test_bad_input.py::a_real_token_with_anything_changed_is_401",
    ),
    "30": (
        f"{JWS}::a_token_of_another_type_is_no_access_token",
        f"{JWS}::the_type_is_compared_without_regard_to_case",
    ),
    # --- its claims ---
    "31": (f"{CLAIMS}::another_kind_of_token_is_no_access_token", f"{CLAIMS}::a_refresh_token_is_no_access_token"),
    "32": (
        f"{CLAIMS}::an_access_token_is_no_refresh_token",
        "endpoints/test_with_the_store.py::an_access_token_does_not_refresh",
    ),
    "33": (f"{CLAIMS}::a_claim_that_must_be_there_is_missed",),
    "34": (f"{CLAIMS}::a_time_that_is_no_sensible_number_is_refused",),
    "35": (f"{CLAIMS}::a_time_that_is_no_sensible_number_is_refused",),
    "36": (f"{CLAIMS}::a_number_that_is_not_finite_is_refused",),
    "37": (f"{CLAIMS}::a_time_that_is_no_sensible_number_is_refused",),
    "38": (f"{CLAIMS}::a_fraction_never_rounds_a_lifetime_up",),
    "39": (
        f"{CLAIMS}::a_token_that_lives_longer_than_any_we_issue_is_refused",
        f"{TRUSTED}::a_token_ends_by_its_age_also_in_the_cache",
    ),
    "40": (
        f"{CLAIMS}::a_token_ends_at_exp_plus_the_leeway_once",
        f"{CLAIMS}::a_leeway_of_more_than_a_minute_refuses_the_start",
        f"{CACHE}::a_kept_token_ends_when_the_verifier_would_end_it",
    ),
    "41": (f"{CLAIMS}::a_token_that_is_not_yet_valid_is_refused",),
    "42": (f"{CLAIMS}::a_token_from_the_future_is_refused",),
    "43": (
        f"{CLAIMS}::an_audience_that_is_ours_is_accepted",
        f"{CLAIMS}::an_audience_that_is_not_exactly_ours_is_refused",
        f"{CLAIMS}::a_verifier_without_an_audience_refuses_the_start",
    ),
    "44": (f"{STREET}::a_trusted_issuers_token_is_good_for_services_and_for_nothing_of_ours",),
    "45": (f"{CLAIMS}::the_issuer_is_compared_exactly", f"{TRUSTED}::the_issuer_is_compared_letter_by_letter"),
    "46": (f"{CLAIMS}::the_same_kid_at_two_issuers_does_not_cross", f"{TRUSTED}::no_issuer_speaks_for_another"),
    "47": (f"{CLAIMS}::an_identifier_that_is_no_plain_text_is_refused", f"{CLAIMS}::an_unpaired_surrogate_is_refused"),
    "48": (f"{CLAIMS}::a_claim_that_must_be_there_is_missed",),
    "49": (f"{CLAIMS}::roles_are_read_as_they_are_written", f"{CLAIMS}::roles_that_are_no_names_are_refused"),
    "50": (f"{CLAIMS}::role_names_are_compared_exactly",),
    "51": (f"{CLAIMS}::a_claim_path_leads_through_objects_only",),
    "55": (f"{CLAIMS}::a_bound_token_is_never_taken_for_a_bearer_token",),
    # --- what others got wrong ---
    "E1": (f"{JWS}::a_token_is_verified_with_the_algorithm_of_the_key_and_no_other",),
    "E2": (
        f"{JWS}::a_signature_of_another_algorithm_is_refused_even_when_the_header_lies",
        f"{TRUSTED}::a_key_is_found_by_its_name_and_is_for_one_algorithm",
    ),
    "E3": (f"{JWS}::alg_none_in_any_spelling_is_refused", f"{JWS}::anything_but_three_full_segments_is_refused"),
    "E4": (f"{JWS}::a_header_that_brings_or_names_a_key_is_refused_and_not_followed",),
    "E5": (f"{JWS}::an_unknown_kid_is_refused_without_asking_anybody",),
    "E6": (
        f"{JWKS}::unknown_keys_cause_one_call_in_thirty_seconds",
        f"{JWKS}::the_last_good_set_counts_for_a_day_whatever_its_server_does",
        "outbound/test_jwks_in_trouble.py::whatever_its_server_does_the_call_ends_and_the_old_keys_stay",
        "journeys/test_provider_in_trouble.py::a_provider_that_says_nothing_delays_its_own_tokens_and_nobody_elses",
    ),
    "E7": (f"{JWS}::crit_with_anything_in_it_is_refused",),
    "E8": (f"{JWS}::a_token_over_the_limit_is_refused_before_it_is_read",),
    "E9": (
        f"{JWS}::compressed_and_encrypted_tokens_are_refused_without_unpacking_them",
        f"{JWS}::an_unencoded_payload_is_refused",
    ),
    "E10": (
        f"{JWS}::a_token_of_another_type_is_no_access_token",
        f"{CLAIMS}::another_kind_of_token_is_no_access_token",
        f"{TRUSTED}::kinds_of_token",
    ),
    "E11": (f"{CLAIMS}::a_claim_that_must_be_there_is_missed", f"{CLAIMS}::the_issuer_is_compared_exactly"),
    "E12": (
        f"{CLAIMS}::a_time_that_is_no_sensible_number_is_refused",
        f"{CLAIMS}::a_number_that_is_not_finite_is_refused",
    ),
    "E13": (f"{JWS}::a_header_member_named_twice_is_refused", f"{JWS}::a_claim_named_twice_is_refused"),
    "E14": (f"{JWS}::only_utf_8_without_a_mark_is_read",),
    "E15": (
        f"{JWS}::an_error_inside_the_cryptography_is_a_refusal",
        "tokens/test_strict.py::no_bytes_make_the_parser_raise",
    ),
    "E16": (f"{JWS}::junk_behind_the_signature_is_refused", f"{JWS}::junk_inside_any_segment_is_refused"),
    "E17": (
        f"{SIGNING}::an_rsa_key_of_less_than_2048_bits_is_refused",
        f"{SIGNING}::a_secret_shorter_than_its_hash_is_refused",
        f"{SIGNING}::a_json_web_key_that_is_not_for_our_signatures_is_refused",
        f"{RING}::two_keys_with_one_kid_are_refused_with_the_way_out",
        f"{RING}::secrets_and_public_keys_meet_only_when_one_side_is_retired",
        f"{TRUSTED}::what_is_no_sound_signature_key_is_left_out_and_said_so",
    ),
    "E18": (f"{JWS}::kid_is_a_name_in_a_table_and_nothing_else",),
    "E19": (
        f"{CLAIMS}::a_leeway_of_more_than_a_minute_refuses_the_start",
        "config/test_issuers.py::a_setting_that_cannot_be_meant_is_refused",
    ),
    "E20": (
        f"{JWS}::no_claim_is_judged_before_the_signature_is_checked",
        f"{JWS}::what_is_malformed_expired_or_unknown_never_reaches_the_cryptography",
    ),
}

STATEMENTS = (*map(str, range(1, 52)), "55", *(f"E{number}" for number in range(1, 21)))


def test_every_statement_has_its_tests() -> None:
    assert tuple(CHECKLIST) == STATEMENTS


@pytest.mark.parametrize("number", STATEMENTS)
def test_the_tests_of_a_statement_exist(number: str) -> None:
    for named in CHECKLIST[number]:
        path, _, name = named.partition("::")
        tree = ast.parse((TESTS / path).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert f"test_{name}" in functions, named
