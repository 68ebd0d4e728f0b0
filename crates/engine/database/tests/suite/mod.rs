//! What every backend must do. Each test is given two managers on one database.

pub(crate) mod access;
pub(crate) mod agents;
pub(crate) mod configurations;
pub(crate) mod events;
pub(crate) mod exchanges;
pub(crate) mod managers;
pub(crate) mod model;
pub(crate) mod world;

pub(crate) use world::World;

/// An exchange with events and a report, and a question, through both managers.
pub(crate) async fn use_it(world: &World) {
    for store in [&world.one, &world.two] {
        let loaded = store.load(world::uid(1), Some(world::STREAM)).await.unwrap().unwrap();
        let mut exchange = world::next(&loaded);
        exchange.events = Some(world::batch(loaded.cursor.through + 1, 2));
        let name = Some("renamed".into());
        exchange.status = Some(mainstay_database::StatusReport { name, ..Default::default() });
        let done = store.exchange(exchange).await.unwrap();
        assert!(matches!(done, mainstay_database::Exchanged::Committed { .. }), "{done:?}");
        let row = store.agent(world::uid(1)).await.unwrap().unwrap();
        assert_eq!(row.name, "renamed");
    }
}

/// Makes a test of each, over worlds that `$run` makes.
#[macro_export]
macro_rules! suite {
    ($run:path: $($module:ident { $($name:ident),* $(,)? })*) => {$(
        mod $module {
            $(
                #[test]
                fn $name() {
                    $run(async |world| $crate::suite::$module::$name(&world).await);
                }
            )*
        }
    )*};
}

/// The tests that both backends run.
#[macro_export]
macro_rules! whole_suite {
    ($run:path) => {
        $crate::suite! { $run:
            exchanges {
                an_agent_joins_once,
                a_token_says_who_may_join,
                of_two_managers_one_commits,
                the_last_reply_is_kept_and_only_the_last,
                an_exchange_that_is_asked_for_again_is_recognised,
                what_an_agent_says_of_itself_stays_until_it_says_otherwise,
                an_agent_that_was_removed_is_unknown,
                many_exchanges_at_once_are_all_answered,
            }
            events {
                events_are_stored_once_and_in_order,
                a_gap_and_another_stream_are_refused,
                a_reader_that_comes_back_misses_nothing,
                events_are_found_by_what_they_are,
                a_silent_agent_is_told_of_once,
                an_agent_that_took_its_leave_is_not_missed,
                days_are_turned,
            }
            agents {
                agents_are_listed_by_name_and_found,
                the_fleet_is_counted,
                agents_are_moved_blocked_and_given_keys,
                a_key_is_retired_until_it_is_replaced,
                a_second_holder_is_counted_and_raises_an_alert,
            }
            configurations {
                groups_and_versions_hold_each_other,
                a_rollout_goes_in_waves_and_is_adopted,
                a_rollout_is_reverted,
                settings_are_compared_and_set,
            }
            managers {
                one_manager_has_a_job_at_a_time,
                a_lease_runs_out_by_the_clock_of_the_database,
                managers_say_that_they_are_there,
                alerts_with_one_key_are_one,
            }
            access {
                the_last_administrator_stays,
                sessions_end_with_what_gave_them,
                tokens_stand_for_users,
                every_change_is_written_down,
            }
        }
    };
}
