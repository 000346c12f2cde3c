from app.config.processes import publisher_groups
from app.config.settings import Role, Settings


def test_each_set_of_roles_with_cdc_is_a_publisher_and_no_other_group() -> None:
    found = publisher_groups(Settings(app_id="up", roles=[Role.WEB], _env_file=None))
    assert len(found) == 2**4
    for roles in ([Role.CDC], [Role.WEB, Role.CDC], list(Role), [Role.ENTITIES_EDGES, Role.CDC]):
        assert Settings(app_id="up", roles=roles, _env_file=None).group_id in found
    for roles in ([Role.WEB], [Role.ENTITIES_EDGES, Role.TEMPORAL_DATA]):
        assert Settings(app_id="up", roles=roles, _env_file=None).group_id not in found
    assert found.isdisjoint({"up-audit", "up-cdc-audit", "up-cdc-cache-repeater", "up-cache-repeater"})
