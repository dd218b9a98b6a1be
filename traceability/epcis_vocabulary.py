# SPDX-License-Identifier: Apache-2.0
"""The words of the Core Business Vocabulary (CBV) 2.0 and the web address that each stands for.

Tables and one look-up.  Source: CBV 2.0, sections 7.1 to 7.9; the published EPCIS 2.0 JSON-LD context.
"""

from collections.abc import Mapping
from dataclasses import dataclass

CBV = "https://ref.gs1.org/cbv/"
GS1_VOC = "https://gs1.org/voc/"


def _words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The standard words of one field.

    Attributes:
        what: What a word is called in a message.
        words: All that CBV 2.0 has.
        web: What precedes a word in its web address.
        urn: What preceded it in CBV 1; None where there was none.
    """

    what: str
    words: frozenset[str]
    web: str
    urn: str | None


BIZ_STEP = Vocabulary(
    "business step",
    _words("""accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting
        decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting
        installing killing loading other packing picking receiving removing repackaging repairing replacing reserving
        retail_selling sampling sensor_reporting shipping staging_outbound stock_taking stocking storing transporting
        unloading unpacking void_shipping"""),
    CBV + "BizStep-",
    "urn:epcglobal:cbv:bizstep:",
)

DISPOSITION = Vocabulary(
    "disposition",
    _words("""active available completeness_inferred completeness_verified conformant container_closed container_open
        damaged destroyed dispensed disposed encoded expired in_progress in_transit inactive mismatch_class
        mismatch_instance mismatch_quantity needs_replacement no_pedigree_match non_conformant non_sellable_other
        partially_dispensed recalled reserved retail_sold returned sellable_accessible sellable_not_accessible stolen
        unavailable unknown"""),
    CBV + "Disp-",
    "urn:epcglobal:cbv:disp:",
)

BIZ_TRANSACTION_TYPE = Vocabulary(
    "business transaction type",
    _words("bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt"),
    CBV + "BTT-",
    "urn:epcglobal:cbv:btt:",
)

SOURCE_DESTINATION_TYPE = Vocabulary(
    "source or destination type",
    frozenset({"owning_party", "possessing_party", "location"}),
    CBV + "SDT-",
    "urn:epcglobal:cbv:sdt:",
)

ERROR_REASON = Vocabulary(
    "error reason", frozenset({"did_not_occur", "incorrect_data"}), CBV + "ER-", "urn:epcglobal:cbv:er:"
)

COMPONENT = Vocabulary(
    "component",
    _words("""x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing latitude
        longitude altitude"""),
    CBV + "Comp-",
    None,
)

SENSOR_ALERT = Vocabulary("sensor alert", frozenset({"ALARM_CONDITION", "ERROR_CONDITION"}), GS1_VOC, None)

MEASUREMENT = Vocabulary(
    "measurement type",
    _words("""AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Activity Altitude AmountOfSubstance
        AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area Capacitance
        Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate DynamicViscosity
        ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength
        Energy Exposure Force Frequency Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum
        Luminance LuminousFlux LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential Mass
        MassConcentration MassFlowRate MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass
        MolarVolume Power Pressure RadiantFlux RadiantIntensity RelativeHumidity Resistance Resistivity SolidAngle
        SpecificVolume Speed SurfaceDensity SurfaceTension Temperature Time Torque Voltage Volume VolumeFlowRate
        VolumeFraction VolumetricFlux Wavenumber"""),
    GS1_VOC,
    None,
)

_OF_URN: Mapping[str, str] = {
    vocabulary.urn: vocabulary.web
    for vocabulary in (BIZ_STEP, DISPOSITION, BIZ_TRANSACTION_TYPE, SOURCE_DESTINATION_TYPE, ERROR_REASON)
    if vocabulary.urn is not None
}


NAMESPACES = tuple(
    name
    for vocabulary in (BIZ_STEP, DISPOSITION, BIZ_TRANSACTION_TYPE, SOURCE_DESTINATION_TYPE, ERROR_REASON, COMPONENT)
    for name in (vocabulary.web, vocabulary.urn)
    if name is not None
)
"""What precedes the words of CBV's own vocabularies, in their web addresses and in CBV 1."""


def expand(word: str, vocabulary: Vocabulary) -> str:
    """The web address of a standard word; any other text as it is."""
    return vocabulary.web + word if word in vocabulary.words else word


def from_urn(text: str) -> str:
    """The web address for a CBV 1 name such as `urn:epcglobal:cbv:bizstep:receiving`; any other text as it is."""
    if text.startswith("urn:epcglobal:cbv:"):
        for urn, web in _OF_URN.items():
            if text.startswith(urn):
                return web + text.removeprefix(urn)
    return text
