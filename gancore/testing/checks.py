"""The kit's checks in the order in which they are made. `gancore plugins check` and pytest read this list."""

from __future__ import annotations

from gancore.testing import (
    derivative_checks,
    domain_checks,
    dynamics_checks,
    evaluation_checks,
    fingerprint_checks,
    game_checks,
    label_checks,
    law_checks,
    loss_checks,
    network_checks,
    order_checks,
    output_checks,
    part_checks,
    plugin_checks,
    recipe_checks,
    sampling_checks,
    split_checks,
    training_checks,
)
from gancore.testing.check import Check

CHECKS: tuple[Check, ...] = (
    *(
        Check.of("plugin", function)
        for function in (
            plugin_checks.imports_light,
            plugin_checks.resolves_records,
            plugin_checks.opens_models,
        )
    ),
    *(
        Check.of("domain", function)
        for function in (
            domain_checks.describes_its_keys,
            domain_checks.says_what_is_tiny,
            domain_checks.opens,
            domain_checks.opens_alike,
            fingerprint_checks.fingerprints_its_keys,
            domain_checks.writes_its_spec,
            domain_checks.keys_its_batches,
            domain_checks.keeps_rows_apart,
            split_checks.keeps_splits_apart,
            split_checks.keeps_labels_at_their_rows,
            domain_checks.offers_what_take_gives,
            domain_checks.conditions,
            output_checks.writes_what_it_names,
            output_checks.previews,
            order_checks.measures_order,
            output_checks.diagnoses_no_real_data,
            evaluation_checks.maps_rows_apart,
            evaluation_checks.bounds_its_measures,
        )
    ),
    *(
        Check.of("recipe", function)
        for function in (
            recipe_checks.keeps_its_configuration,
            recipe_checks.builds,
            recipe_checks.has_what_it_declares,
            network_checks.matches_shapes,
            network_checks.gives_finite_logits,
            network_checks.judges_rows_apart,
            game_checks.reaches_every_parameter,
            derivative_checks.differentiates_twice,
            game_checks.keeps_costs_pure,
            game_checks.adds_up_in_parts,
            sampling_checks.encodes_and_decodes,
            sampling_checks.knows_its_log_det,
            sampling_checks.samples_by_latent,
            sampling_checks.interpolates,
            sampling_checks.gives_likelihoods,
            law_checks.sums_to_one,
            sampling_checks.gives_posteriors,
            sampling_checks.inverts,
            training_checks.trains,
            training_checks.trains_as_a_run,
            training_checks.resumes,
            training_checks.trains_on_two_processes,
            training_checks.keeps_its_model,
            training_checks.trains_on_labels,
            label_checks.heeds_its_labels,
            game_checks.plays_in_bf16,
        )
    ),
    *(
        Check.of("loss", function)
        for function in (
            loss_checks.gives_values_by_row,
            loss_checks.stays_finite,
            loss_checks.pulls_players_apart,
            loss_checks.couples_as_stated,
            loss_checks.gives_gradients,
            dynamics_checks.resumes_with_the_loss,
        )
    ),
    *(
        Check.of("dynamics", function)
        for function in (
            dynamics_checks.takes_its_settings,
            dynamics_checks.comes_to_rest,
            dynamics_checks.adds_up,
            dynamics_checks.resumes_with_the_dynamics,
        )
    ),
    *(Check.of("measure", f) for f in (part_checks.orders_known_sets, part_checks.bounds_its_value)),
    Check.of("logger", part_checks.takes_a_run),
)
