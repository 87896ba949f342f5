"""Registers the Lora builtin."""

import extra_networks_lora
import networks
from modules import extra_networks, script_callbacks, shared


def before_ui() -> None:
    """Make `<lora:...>` known."""
    networks.extra_network_lora = extra_networks_lora.ExtraNetworkLora()
    extra_networks.register_extra_network(networks.extra_network_lora)
    extra_networks.register_extra_network_alias(networks.extra_network_lora, "lyco")


def unload() -> None:
    """Undo the patches."""
    networks.originals.undo()


networks.originals = networks.LoraPatches()
networks.list_available_networks()
script_callbacks.on_model_loaded(networks.assign_network_names_to_compvis_modules)
script_callbacks.on_script_unloaded(unload)
script_callbacks.on_before_ui(before_ui)
shared.options_templates.update(
    shared.options_section(
        ("extra_networks", "Extra Networks"),
        {
            "lora_add_hashes_to_infotext": shared.OptionInfo(True, "Add Lora hashes to infotext"),
            "lora_in_memory_limit": shared.OptionInfo(0, "Number of Lora networks to keep cached in memory"),
            "lora_functional": shared.OptionInfo(False, "Lora/Networks: apply in forward"),
        },
    )
)
shared.opts.onchange("lora_in_memory_limit", networks.purge_networks_from_memory)
