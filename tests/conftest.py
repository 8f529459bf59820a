"""Test processes share the cores: one thread each. And which tests only ``make test-long`` runs."""

import os

import pytest

for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Tests that build or train for long, so that `make test` ends in minutes; continuous integration
# runs both. Names without tests/ and without parameters.
LONG = (
    "bench/test_attack.py::test_cases_of_each_kind",
    "bench/test_queue.py::test_killed_at_any_moment_it_goes_on_to_the_same_weights",
    "host/test_simulated.py::test_every_kind_answers_and_takes_another_network",
    "host/test_simulated.py::test_the_longest_sequence",
    "quant/test_example.py::test_the_commands_do_what_the_page_says",
    "quant/test_hardware.py::test_an_operation_of_one_s_own",
    "rtl/test_axi.py::test_streams",
    "rtl/test_bank.py::test_cell_in_verilog",
    "rtl/test_bank.py::test_model_without_output_register_fails",
    "rtl/test_core.py::test_more_of_them_match_the_reference",
    "rtl/test_folded.py::test_more_of_them_match_the_reference",
    "rtl/test_multiplier.py::test_cell_in_verilog",
    "rtl/test_multiplier.py::test_model_without_output_register_fails",
    "rtl/test_synth.py::test_multipliers_that_yosys_infers",
    "rtl/test_two_sided.py::test_matches_the_reference",
    "sim/test_bench.py::test_everything_is_measured",
    "sim/test_campaign.py::test_both_rungs_agree",
    "sim/test_cosim.py::test_component",
    "sim/test_fuzz.py::test_a_broken_core_is_found_made_small_and_kept",
    "sim/test_fuzz.py::test_command_and_resuming",
    "sim/test_fuzz.py::test_kept_cases_that_need_a_build_pass",
    "sim/test_native.py::test_trace_is_short",
    "sim/test_netlist.py::test_the_netlist_equals_the_reference",
    "sim/test_netlist.py::test_two_steps_with_tables_equal_the_reference",
    "sim/test_pair.py::test_every_rung_and_the_head",
    "sim/test_pair.py::test_the_host",
    "sim/test_simd.py::test_a_core_in_vectors",
    "sim/test_simd.py::test_other_kinds_in_vectors",
    "sim/test_stress.py::test_a_broken_core_is_seen",
    "sim/test_verify.py::test_two_at_once",
    "sim/test_work_again.py::test_two_at_once_say_and_write_their_own",
    "sim/test_work_again.py::test_verify_after_the_reference_was_broken",
    "test_mutants.py::test_mutant_of_a_sampling_form",
    "test_mutants.py::test_one_bit_of_a_coefficient",
    "test_mutants.py::test_text_mutant",
    "test_mutants_blocks.py::test_all_of_them_pass_unmutated",
    "test_mutants_blocks.py::test_mutant",
    "test_mutants_cells.py::test_all_of_them_pass_unmutated",
    "test_mutants_folded.py::test_it_passes_unmutated",
    "test_mutants_folded.py::test_mutant",
    "test_mutants_tables.py::test_all_of_them_pass_unmutated",
    "test_mutants_two_sided.py::test_both_pass_unmutated",
    "test_mutants_two_sided.py::test_mutant",
    "test_names.py::test_every_command_that_pages_name_helps_without_a_warning",
    "test_own_task_page.py::test_from_the_file_to_the_integers",
)


def is_long(nodeid: str) -> bool:
    """Whether a test is in the list, alone or with parameters."""
    name = nodeid.removeprefix("tests/")
    return name.partition("[")[0] in LONG


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if is_long(item.nodeid):
            item.add_marker(pytest.mark.long)
