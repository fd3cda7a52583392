# ruff: noqa: E501 (a template stands on one line)
"""Sentences of clinical cases and abstracts; the notation is that of `grammar`.

Every mention of an entity is a noun of the context or marked `<LABEL ...>`: these sentences also make
the annotated set.
"""

from __future__ import annotations


def lines(block: str) -> tuple[str, ...]:
    """The lines of a block, one template each."""
    return tuple(block.strip().splitlines())


OPENING = lines("""
[Nous rapportons|Nous présentons|Voici] [le cas|l'observation] d'{un:pat} de {age} ans [suivi{e:pat}|pris{e:pat} en charge|hospitalisé{e:pat}] en {field} pour {un:dis}.
{un:pat} de {age} ans, aux antécédents {de:dis2}, [consulte|est admis{e:pat}|est adressé{e:pat} par son médecin traitant] pour {un:sym} [évoluant|présent{e:sym}{s:sym}] depuis {days} jours.
Il s'agit d'{un:pat} de {age} ans, sans antécédent notable, qui [se présente aux urgences|consulte en {field}] pour {un:sym} [associé{e:sym}{s:sym} à|avec] {un:sym2}.
{un:pat}, {age} ans. Motif : {sym}, {sym2}. Service {de:field}.
{le:pat}, âgé{e:pat} de {age} ans, est hospitalisé{e:pat} [en urgence|de façon programmée] pour le bilan {dun:dis}.
Un confrère nous adresse {un:pat} de {age} ans chez qui {un:dis} est [suspecté{e:dis}|connu{e:dis} depuis {years} ans].
""")
HISTORY = lines("""
[Ses antécédents comportent|On retrouve dans ses antécédents|Dans ses antécédents figurent] {un:dis2} [traité{e:dis2} par|sous] {drug3} et {un:proc2} [en {year}|il y a {years} ans].
{son:kin} [avait présenté|est suivi{e:kin} pour|est traité{e:kin} pour] {un:dis}.
{il:pat} [prend|reçoit] [depuis {months} mois|au long cours] {du:drug3} pour {un:dis2}.
Traitement habituel : {drug3} le matin, {common} [à la demande|en cas de <DISO douleur>].
{il:pat} signale une <DISO allergie {au:common}>, [apparue dans l'enfance|sans gravité|confirmée par des tests].
Antécédents : {dis2}, {proc2}, {any1}.
La consommation {de:exp} est [régulière|occasionnelle|ancienne], et {il:pat} vit avec {un:animal}.
[Il n'y a pas|On ne retrouve pas] d'antécédent familial {de:dis} ni {de:dis2}.
Au cours {du:life}, {il:pat} avait déjà présenté {un:sym3}.
{il:pat} porte {un:dev} [depuis {years} ans|posé{e:dev} en {year}], [bien toléré{e:dev}|sans incident].
""")
EXAM = lines("""
[L'examen clinique|L'examen {adj}|L'examen à l'admission] [retrouve|met en évidence|révèle] {un:sym} et {un:sym2}.
L'examen [note|montre] {un:sym} sans {sym2}.
[Il n'y a pas|On ne note pas] {de:sym} ni {de:sym2}.
La <PHYS pression artérielle> est à {sys}/{dia} mmHg et la <PHYS fréquence cardiaque> à {pulse} par minute.
La <PHYS température> est à {temp} °C, le poids de {kg} kg.
{il:pat} se plaint {dun:sym} [depuis {days} jours|la nuit|au moindre effort], avec {un:coord}.
À la palpation, {le:org} [est sensible|paraît augmenté{e:org} de volume|est sans particularité].
{le:phys} [semble altéré{e:phys}|est conservé{e:phys}|est difficile à apprécier].
On [note|constate] {un:coord} depuis {days} jours, et {un:sym}.
L'examen [de routine|complet] {du:org}, puis {du:acoord}, est sans anomalie.
Signes associés : {sym}, {sym2}, {sym3}.
""")
LABS = lines("""
[À la biologie|Au bilan d'entrée|Au laboratoire], {le:lab} est [à|mesuré{e:lab} à] {bad} {unit}[ (normale : {norm})| (N : {norm} {unit})|].
{le:lab} est {up}{e:lab}, à {bad} {unit}, [alors que|tandis que] {le:lab2} est à {bad2} {unit2}.
{le:lab2}, à {good2} {unit2}, est [dans les limites de la normale|sans particularité].
Le taux {de:lab} [revient|est rendu] à {bad} {unit} pour une normale de {norm}.
L'analyse {du:sub} [isole|identifie] {germ} après {hours} heures de culture.
{le:lab2} dans {le:sub} est [stable|à recontrôler dans {days} jours].
{lab} {bad} {unit}, {lab2} {good2} {unit2}.
""")
IMAGING = lines("""
{un:proc} [est réalisé{e:proc}|est pratiqué{e:proc}|a été demandé{e:proc}] et [retrouve|montre|met en évidence] {un:dis}.
{le:proc} [oriente vers|est en faveur d'une atteinte {du:org} évoquant|fait suspecter] {un:dis}.
Nous avons demandé {un:pcoord}, complété{e:pcoord}{s:pcoord} par {un:proc}.
{le:proc} montre une image de {size} mm [au niveau|à hauteur|au contact] {du:org}.
Après {un:proc}, {le:org} apparaît [remanié{e:org}|épaissi{e:org}|intact{e:org}].
{le:proc} n'a pas retrouvé {de:dis2}.
Le contrôle {du:acoord} par {proc} est [normal|rassurant|en attente].
{le:proc2} élimine {un:dis2}.
""")
DIAGNOSIS = lines("""
Le diagnostic {de:dis} [est retenu|est posé|est confirmé] devant {le:sym} et {le:sym2}.
[L'ensemble|Ce tableau] [évoque|fait évoquer] d'abord {un:dis}, plus rarement {un:dis2}.
{un:dis} à {germ} est [confirmé{e:dis}|fortement suspecté{e:dis}].
Conclusion : {dis} [compliqué{e:dis} {dun:dis2}|de découverte fortuite|au stade {n}].
Les diagnostics différentiels sont {le:dis2} et {le:coord}.
""")
TREATMENT = lines("""
Un traitement par {drug} [à la dose de|à raison de] {dose} mg [par jour|deux fois par jour|toutes les {n} heures] est [instauré|débuté|poursuivi].
{le:pat} [reçoit|est traité{e:pat} par|bénéficie d'un traitement par] {brand} ({drug} {dose} mg) pendant {days} jours.
{le:drug} est [arrêté{e:drug}|interrompu{e:drug}|remplacé{e:drug} par {le:drug2}] [en raison {dun:sym3}|devant {un:sym3}|au {n}e jour].
[Devant|En raison de] la persistance {du:sym}, {le:drug} est associé{e:drug} {au:drug2}.
Le recours aux {fam} est [discuté|contre-indiqué|préféré] [en présence {dun:dis2}|chez {ce:pat}].
{un:dev} est [posé{e:dev}|mis{e:dev} en place|retiré{e:dev}] [sous <PROC anesthésie locale>|sans complication|au bloc opératoire].
[Nous réalisons|Le chirurgien réalise|L'équipe propose] {un:proc} avec pose {dun:dev}.
Relais par {drug2} {dose} mg, puis {common} [si besoin|en cas de <DISO douleur>].
L'indication {du:proc} est retenue en réunion {de:field}.
Prescription : {brand}, {common}, {dev}.
""")
OUTCOME = lines("""
L'évolution est [favorable|marquée par la régression {du:sym}|lentement favorable], {le:lab} revenant à {good} {unit}.
[Au bout de|Après] {months} mois [de suivi|de traitement par {drug}], {le:pat} ne présente plus {de:sym} ni {de:sym2}.
{le:pat} quitte le service au {n}e jour sous {drug} {dose} mg.
À {months} mois, {un:proc} de contrôle ne montre plus {de:dis}.
L'évolution est compliquée {dun:dis2}, ce qui impose {un:proc2}.
{le:phys} [s'améliore|se normalise|reste sans changement] après l'arrêt {du:drug}.
Une nouvelle consultation à {days} jours est motivée par {un:sym}.
Le suivi comprend {un:proc} et le contrôle {du:lab} tous les {n} mois.
""")
BARE = lines("""
[Mots clés|Mots-clés] : {any1} ; {any2} ; {any3} ; {any4}.
[Dossier|Noté au dossier|Rappel] : {any1}, {any2}, {any3}.
Le compte rendu mentionne {le:any1} et {le:any2}, sans détailler {le:any3}.
Nous avons noté {un:any1}, puis {un:any2}.
Voir aussi {any1}, {any2}, {any3}.
""")
"""Contexts that do not tell what kind of thing a word names: it has to be known."""

CASE_SECTIONS = (
    (OPENING, 1, 1),
    (HISTORY, 1, 4),
    (EXAM, 2, 5),
    (LABS, 1, 4),
    (IMAGING, 1, 3),
    (DIAGNOSIS, 1, 2),
    (TREATMENT, 1, 4),
    (OUTCOME, 1, 3),
    (BARE, 0, 2),
)
"""Sentences of a clinical case: from which list, at least and at most how many."""

AIM = lines("""
{le:dis} est [une cause fréquente|une cause méconnue|une complication] {de:dis2}.
[L'objectif de ce travail|Le but de cette étude] était d'évaluer {le:drug} dans {le:dis}.
{le:dis} associe {un:sym}, {un:sym2} et {un:coord}.
La place {du:proc} dans le diagnostic {du:dis} reste discutée.
Peu de travaux ont comparé {le:drug} {au:drug2} [au cours|dans la prise en charge] {du:dis}.
{le:germ} est [un agent|une cause] [rare|classique] {de:dis}.
""")
METHODS = lines("""
[Nous avons inclus|Ont été inclus] {many} <LIVB patients> [suivis|traités] en {field} pour {un:dis} [entre {year} et 2024|dans {n} centres].
{many} <LIVB femmes> et {cent} <LIVB hommes> ont reçu {du:drug} à la dose de {dose} mg par jour.
Les <LIVB patients> étaient tirés au sort entre {drug} et {drug2}.
Tous les <LIVB patients> ont eu {un:proc} et une mesure {du:lab} à l'inclusion.
Le critère principal était [la survenue|la disparition] {dun:sym} à {months} mois.
Nous avons exclu les cas {de:dis2} et les sujets traités par {drug3}.
{le:phys} était évalué{e:phys} par {un:proc2}.
Étude [rétrospective|prospective|multicentrique] menée en {field} sur {n} ans.
""")
RESULTS = lines("""
{un:sym} {est:sym} observé{e:sym}{s:sym} chez {percent} % des <LIVB patients>, {un:sym2} chez {cent} %.
Dans le groupe traité par {drug}, {le:lab} passait de {bad} à {good} {unit} (p = 0,0{hundredth}).
Le risque {de:dis2} était [réduit|augmenté] sous {drug} (rapport de cotes {ratio} ; IC 95 % : 0,{hundredth}-4,{cent}).
{le:proc} avait une sensibilité de {percent} % et une spécificité de {cent} % pour {le:dis}.
Les principaux effets indésirables {du:drug} étaient {le:sym3} et {le:coord}.
{germ} était isolé{e:germ} dans {percent} % des prélèvements {de:sub}.
{le:dev} a dû être retiré{e:dev} dans {n} cas pour {dis2}.
L'atteinte {du:org} concernait {percent} % des cas, celle {du:acoord} {n} %.
{percent} % des <LIVB patients> sous {fam} n'avaient plus {de:sym} à {months} mois.
""")
CONCLUSION = lines("""
{le:drug} [apparaît efficace|est une option|mérite d'être évalué{e:drug}] dans {le:dis}.
{le:proc} devrait être [proposé{e:proc}|discuté{e:proc}] devant {un:sym} avec {un:sym2}.
Le traitement par {fam} [reste la référence|garde sa place] dans {le:dis}.
Un dépistage {du:dis} par {proc} [se justifie|est à discuter] en cas {de:dis2}.
La surveillance {du:phys} et {du:lab} est [indispensable|recommandée] sous {drug}.
Ces résultats [confirment|suggèrent] le rôle {du:lab} dans {le:dis}.
""")
ABSTRACT_SECTIONS = (
    ("Objectif", AIM, 1, 2),
    ("Méthodes", METHODS, 2, 3),
    ("Résultats", RESULTS, 2, 4),
    ("Conclusion", CONCLUSION, 1, 2),
)
"""Heading, sentences, at least and at most how many."""

TITLES = lines("""
{le:dis} : [à propos d'un cas|revue de la littérature|étude de {many} cas]
Intérêt {du:proc} dans {le:dis}
{drug} et {dis}
{un:dis} révélé{e:dis} par {un:sym}
{un:dis2} sous {drug} : une observation
""")
