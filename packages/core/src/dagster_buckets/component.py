"""Components: the managers for ``defs.yaml``, with all of their settings as attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import dagster as dg
from dagster.components import Scaffolder, ScaffoldRequest
from dagster.components.component_scaffolding import scaffold_component
from pydantic import (
    BaseModel,
    Field,
    ValidatorFunctionWrapHandler,
    create_model,
    field_validator,
)
from pydantic.fields import FieldInfo

from dagster_buckets.environment import from_environment
from dagster_buckets.io_manager import BucketIOManager

__all__ = ["IOManagerComponent", "component_of"]


class IOManagerComponent(dg.Component, dg.Resolvable, dg.Model):
    """An I/O manager as a resource, made from the attributes in ``defs.yaml``.

    What :func:`component_of` makes has an attribute for each setting of its manager.

    Attributes:
        resource_key: The key by which assets name the manager.
    """

    manager_type: ClassVar[type[BucketIOManager]]

    resource_key: Annotated[
        str, dg.Resolver.default(description="The key by which assets name the manager.")
    ] = "io_manager"

    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_for_later(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        # As a string an EnvVar would be the name of its variable.
        return value if from_environment(value) else handler(value)

    @staticmethod
    @dg.template_var
    def env_var() -> Callable[[str], str]:
        """A value that a run reads from the environment, and that others see by its name.

        It is ``{{ env_var("NAME") }}``. Dagster's own ``{{ env.NAME }}`` is read when the
        definitions are loaded, and its value is then as public as any other text of the file.
        """
        return dg.EnvVar

    @property
    def manager(self) -> BucketIOManager:
        """The manager of these attributes.

        Raises:
            ConfigurationError: They cannot work.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set - {"resource_key"}}
        if given.get("read_from") is not None:
            given["read_from"] = self.manager_type(**given["read_from"])
        return self.manager_type(**given)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The manager under its key."""
        del context
        return dg.Definitions(resources={self.resource_key: self.manager})


def component_of(manager: type[BucketIOManager], module: str) -> type[IOManagerComponent]:
    """The component of a manager.

    Its attribute ``read_from`` has the settings of another manager of the same kind.

    Args:
        manager: Whose settings are its attributes.
        module: The name of the module that has it, by which ``dg`` finds it.

    Example:
        >>> from dagster_buckets import MemoryIOManager
        >>> made = component_of(MemoryIOManager, __name__)
        >>> made.resolve_from_yaml("{name: lake, read_from: {name: prod}}").manager.name
        'lake'
    """
    fields: dict[str, Any] = {
        name: (_described(field.annotation, field.description), _unbounded(field))
        for name, field in manager.model_fields.items()
    }
    fields["read_from"] = (
        _described(dict[str, Any] | None, "Settings of the manager that has what is not here."),
        None,
    )
    made = create_model(
        f"{manager.__name__}Component",
        __base__=IOManagerComponent,
        __module__=module,
        __doc__=(manager.__doc__ or "").partition("\n")[0],
        **fields,
    )
    made.manager_type = manager
    return dg.scaffold_with(_scaffolder_of(manager))(made)


def _described(annotation: Any, description: str | None) -> Any:
    """An annotation whose description is in the schema, from which editors and ``dg`` take it."""
    return Annotated[annotation, dg.Resolver.default(description=description)]


def _unbounded(field: FieldInfo) -> Any:
    """The field without its bounds, which a template is not within; the manager has them."""
    if field.default_factory is not None:
        return Field(default_factory=field.default_factory, repr=field.repr)
    return Field(default=... if field.is_required() else field.default, repr=field.repr)


def _scaffolder_of(manager: type[BucketIOManager]) -> type[Scaffolder[BaseModel]]:
    """Asks ``dg scaffold defs`` for the settings that have no default."""
    required: dict[str, Any] = {
        name: (field.annotation, Field(description=field.description))
        for name, field in manager.model_fields.items()
        if field.is_required()
    }
    params: type[BaseModel] = create_model(f"{manager.__name__}Params", **required)

    class IOManagerScaffolder(Scaffolder[BaseModel]):
        @classmethod
        def get_scaffold_params(cls) -> type[BaseModel]:
            return params

        def scaffold(self, request: ScaffoldRequest[BaseModel]) -> None:
            scaffold_component(request, request.params.model_dump())

    return IOManagerScaffolder
