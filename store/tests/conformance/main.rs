//! One suite for all engines: what the traits promise, and that all engines agree with the simplest one.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::field_reassign_with_default,
    reason = "tests"
)]

mod agreement;
mod applications;
mod cluster;
mod copies;
mod criteria;
mod cuts;
mod database;
mod endpoints;
mod jobs;
mod parts;
mod records;
mod segments;
mod single;
mod support;
mod versions;

/// Each case is a function of a fresh store.
mod all {
    pub(crate) use crate::{
        applications::*, criteria::*, endpoints::*, jobs::*, records::*, segments::*, single::*, versions::*,
    };
}

macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $case() { crate::all::$case(crate::support::Bench::memory()); })+
        }
        mod embedded {
            $(#[test] fn $case() { crate::all::$case(crate::support::Bench::embedded()); })+
        }
        mod embedded_runs {
            $(#[test] fn $case() { crate::all::$case(crate::support::Bench::embedded_runs()); })+
        }
        mod postgres {
            $(#[test] fn $case() { crate::all::$case(crate::support::Bench::postgres()); })+
        }
    };
}

/// Cases of engines that merge records after they were stored.
macro_rules! merging {
    ($($case:ident),+ $(,)?) => {
        mod merging {
            $(
                mod $case {
                    #[test] fn embedded_runs() { crate::all::$case(crate::support::Bench::embedded_runs()); }
                    #[test] fn postgres() { crate::all::$case(crate::support::Bench::postgres()); }
                }
            )+
        }
    };
}

merging! {
    records_without_room_count_as_failures_of_their_jobs,
}

conformance! {
    applications_are_found_by_id_and_name,
    applications_may_share_a_name,
    a_job_goes_forward_and_ends_once,
    a_job_needs_its_application_and_segment,
    jobs_are_listed_newest_first,
    pieces_are_committed_in_order,
    a_piece_without_records_counts,
    a_dropped_piece_leaves_nothing,
    a_committed_job_takes_no_piece_after_its_end,
    a_new_endpoint_has_its_defaults,
    the_later_record_wins,
    the_first_creation_date_stays,
    an_attribute_without_values_is_removed,
    a_user_shares_attributes_over_endpoints,
    user_attributes_without_a_user_find_it,
    an_endpoint_may_change_its_user,
    updates_need_an_endpoint,
    a_user_alone_brings_its_endpoints,
    a_user_that_was_asked_for_has_what_came_later,
    copies_do_not_register,
    imports_add_versions_to_a_segment,
    a_deleted_job_leaves_what_it_stored,
    a_count_of_members_holds_for_its_version_alone,
    members_are_found_among_many_endpoints,
    the_last_layer_says_what_a_member_is,
    segments_are_listed_renamed_and_deleted,
    deleting_an_application_takes_what_is_in_it,
    single_endpoints_are_put_and_deleted,
    endpoints_may_lack_address_and_channel,
    an_update_makes_an_endpoint_active_and_others_of_its_address_inactive,
    many_imports_into_a_segment_are_read_as_one,
    many_imports_of_copies_are_read_as_one,
    a_version_that_is_not_kept_is_not_found,
    the_size_of_a_segment_counts_what_is_new,
    updates_come_in_one_write_and_see_each_other,
    an_update_that_is_refused_refuses_all_of_its_write,
    merged_endpoints_and_users_have_limits,
    all_endpoints_of_a_user_are_deleted,
    a_wide_record_of_a_large_piece_fails_when_it_has_no_room,
    imports_do_not_fill_an_endpoint_beyond_its_limits,
    imports_do_not_make_an_endpoint_of_many_bytes,
    attributes_are_removed_from_all_endpoints,
    settings_are_of_their_application,
    criteria_find_members_when_they_are_read,
    criteria_narrow_segments,
    a_segment_of_criteria_has_versions,
    criteria_lead_to_segments_and_never_back,
}
