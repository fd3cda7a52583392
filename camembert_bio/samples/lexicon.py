"""The words of the sample, written by hand: what each medical field speaks of.

One block a field. A line is `KEY entries`, entries parted by `;`. An entry is a gender (`m`, `f`, `mp`, `fp`)
and a noun phrase; `<ANAT poumon>` marks an entity inside it. `LABS` entries end with direction of the
abnormal values, unit, lowest and highest normal value. `DRUG` lines hold family, stem of the international
names, mechanism and some real names; further names are composed from the stem.
"""

from __future__ import annotations

FIELDS = """
FIELD cardiologie; cardiologique
ANAT m cœur; m myocarde; f aorte; m ventricule gauche; f oreillette droite; f artère coronaire; f valve mitrale
ROOTS cardi myocard péricard endocard aort artéri phléb valvul
DISO f insuffisance cardiaque; f hypertension artérielle; f fibrillation auriculaire; f angine de poitrine
DISO m infarctus du <ANAT myocarde>; f embolie pulmonaire; m bloc de branche; f thrombose veineuse profonde
SIGN f dyspnée d'effort; f douleur thoracique; fp palpitations; f orthopnée; f syncope; m souffle systolique
SIGN mp œdèmes des <ANAT membres inférieurs>; f tachycardie; f cyanose
PROC m électrocardiogramme; f coronarographie; f épreuve d'effort; m Holter rythmique; f angioplastie
PROC m pontage coronarien
DEVI m stimulateur cardiaque; m stent actif; m défibrillateur implantable
LABS f troponine + ng/L 3 14; m NT-proBNP + pg/mL 50 300; m LDL-cholestérol + mmol/L 2 4
PHYS f fréquence cardiaque; m débit cardiaque; f pression artérielle; f contractilité
GERM m Streptococcus viridans; f Coxiella burnetii
DRUG mp bêtabloquants; olol; ralentit le rythme et réduit l'effort du muscle; bisoprolol, aténolol, métoprolol
DRUG fp statines; vastatine; freine la synthèse des graisses du sang; atorvastatine, simvastatine, pravastatine
DRUG mp anticoagulants oraux; xaban; empêche la formation de caillots; apixaban, rivaroxaban, édoxaban

FIELD pneumologie; pneumologique
ANAT m poumon; f plèvre; f bronche souche; m lobe supérieur; f trachée; m médiastin; f alvéole
ROOTS bronch pneum pleur trach alvéol laryng bronchiol
DISO m asthme; f pneumopathie interstitielle; f fibrose pulmonaire; m épanchement de la <ANAT plèvre>
DISO m pneumothorax; f bronchectasie; f sarcoïdose; m syndrome d'apnées du sommeil
SIGN f toux productive; f dyspnée de repos; f hémoptysie; fp expectorations purulentes; m sifflement expiratoire
SIGN mp râles crépitants; f polypnée; f désaturation
PROC f spirométrie; m lavage alvéolaire; f gazométrie; f oxygénothérapie; m drainage de la <ANAT plèvre>; f intubation
DEVI f chambre d'inhalation; m concentrateur d'oxygène; m drain thoracique
LABS m lactate + mmol/L 0,5 2; m bicarbonate + mmol/L 22 27; f alpha-1-antitrypsine - g/L 0,9 2
PHYS f fréquence respiratoire; f capacité vitale; f ventilation; m volume expiré maximal
GERM m Streptococcus pneumoniae; m Mycoplasma pneumoniae
DRUG mp bronchodilatateurs; térol; relâche le muscle des voies aériennes; formotérol, salmétérol, indacatérol
DRUG mp corticoïdes inhalés; ésonide; calme l'inflammation des voies aériennes; budésonide, ciclésonide
DRUG mp antileucotriènes; lukast; bloque les médiateurs de l'inflammation; montélukast, zafirlukast

FIELD gastro-entérologie; digestif
ANAT m foie; m estomac; m côlon; m pancréas; m duodénum; f vésicule biliaire; m rectum
ROOTS gastr entér col hépat pancréat cholécyst œsophag duodén
DISO f cirrhose; m ulcère de l'<ANAT estomac>; f maladie cœliaque; m reflux acide; f lithiase biliaire
DISO f occlusion intestinale; f stéatose du <ANAT foie>; f hernie inguinale
SIGN fp nausées; mp vomissements; f diarrhée; m ictère; f ascite; f douleur épigastrique; m méléna; f dysphagie
PROC f coloscopie; f fibroscopie haute; f cholécystectomie; f endoscopie; f ligature de varices; f manométrie
DEVI f prothèse biliaire; f sonde nasogastrique; m anneau ajustable
LABS f bilirubine + µmol/L 5 17; f lipase + UI/L 13 60; f albumine - g/L 35 50
PHYS m transit; f digestion; f motricité gastrique; m appétit
GERM m Helicobacter pylori; m Clostridioides difficile
DRUG mp inhibiteurs de la pompe à protons; prazole; réduit l'acidité; oméprazole, pantoprazole, lansoprazole
DRUG mp antiémétiques; sétron; bloque le réflexe du vomissement; ondansétron, granisétron
DRUG mp antisécrétoires; tidine; freine la sécrétion acide; famotidine, nizatidine

FIELD néphrologie; néphrologique
ANAT m rein; m uretère; f vessie; m glomérule; m bassinet; f prostate; m parenchyme rénal
ROOTS néphr pyél cyst urétér glomérul prostat urétr
DISO f insuffisance rénale; m syndrome néphrotique; f colique néphrétique; f polykystose; f lithiase urinaire
DISO f néphropathie diabétique; f rétention d'urine; f acidose tubulaire
SIGN f hématurie; f oligurie; f protéinurie; fp brûlures mictionnelles; f douleur lombaire; f polyurie; f anurie
PROC f dialyse péritonéale; f hémodialyse; f urétéroscopie; f cystoscopie; f uroscanner; f lithotritie
DEVI f sonde urinaire; m cathéter de dialyse; f sonde double J
LABS f créatinine + µmol/L 60 110; f urée + mmol/L 2,5 7,5; m phosphore + mmol/L 0,8 1,4
PHYS f diurèse; f filtration glomérulaire; f miction; f clairance de la <SUBST créatinine>
GERM m Escherichia coli; m Proteus mirabilis
DRUG mp diurétiques; sémide; favorise l'élimination du sel; furosémide, torasémide
DRUG mp antagonistes de l'angiotensine; sartan; dilate les vaisseaux et protège le filtre; losartan, valsartan
DRUG mp immunosuppresseurs; limus; abaisse les défenses immunitaires; tacrolimus, sirolimus, évérolimus

FIELD neurologie; neurologique
ANAT m cerveau; f moelle épinière; m cervelet; m tronc cérébral; m nerf optique; m lobe temporal; m thalamus
ROOTS encéphal méning névr myél radicul cérébell polyneur
DISO f épilepsie; f sclérose en plaques; f maladie de Parkinson; f migraine; m accident vasculaire cérébral
DISO f maladie d'Alzheimer; m hématome sous-dural; f myasthénie
SIGN fp céphalées; f hémiparésie; f aphasie; mp vertiges; m tremblement de repos; f ataxie; f diplopie; f confusion
PROC m électroencéphalogramme; f ponction lombaire; m électromyogramme; f thrombolyse; f craniotomie; m fond d'œil
DEVI f valve de dérivation; m neurostimulateur; f électrode corticale
LABS f protéinorachie + g/L 0,2 0,4; f vitamine B12 - pmol/L 140 490; m ammoniac + µmol/L 15 45
PHYS f vigilance; f mémoire; m sommeil; f conduction nerveuse
GERM m Neisseria meningitidis; m Herpes simplex
DRUG mp antiépileptiques; racétam; stabilise l'activité des neurones; lévétiracétam, brivaracétam
DRUG mp triptans; triptan; resserre les vaisseaux dilatés pendant la crise; sumatriptan, zolmitriptan, élétriptan
DRUG fp benzodiazépines; azépam; apaise l'anxiété et arrête les crises; diazépam, clonazépam, lorazépam

FIELD rhumatologie; rhumatologique
ANAT f hanche; m genou; f épaule; m rachis lombaire; f synoviale; m ménisque; m tendon d'Achille
ROOTS arthr spondyl tendin synov chondr périost burs
DISO f polyarthrite rhumatoïde; f arthrose; f goutte; f ostéoporose; f spondylarthrite; m lupus; f hernie discale
DISO f fracture du <ANAT col fémoral>
SIGN fp arthralgies; f raideur matinale; f boiterie; m gonflement articulaire; f lombalgie; f impotence; mp tophus
PROC f arthroscopie; f infiltration; f densitométrie; f arthroplastie; f kinésithérapie; f ostéosynthèse
DEVI f prothèse de <ANAT hanche>; f attelle; m corset
LABS m acide urique + µmol/L 200 420; m facteur rhumatoïde + UI/mL 5 20; f vitamine D - nmol/L 50 125
PHYS f marche; f mobilité articulaire; f force musculaire; m remodelage osseux
GERM m Staphylococcus aureus; m Kingella kingae
DRUG mp anti-inflammatoires; profène; diminue la douleur et l'inflammation; ibuprofène, kétoprofène, flurbiprofène
DRUG mp bisphosphonates; dronate; freine la perte osseuse; alendronate, risédronate, zolédronate
DRUG mp anti-TNF; limumab; neutralise une cytokine de l'inflammation; adalimumab, golimumab

FIELD endocrinologie; endocrinien
ANAT f thyroïde; f hypophyse; f glande surrénale; m îlot pancréatique; f parathyroïde; m tissu adipeux
ROOTS thyroïd surrénal hypophys parathyroïd pancréatic adip
DISO m diabète de type 2; f hyperthyroïdie; f maladie de Basedow; f obésité; m goitre; f hypothyroïdie
DISO m adénome de l'<ANAT hypophyse>; f maladie de Cushing
SIGN f polydipsie; f asthénie; m amaigrissement; f prise de poids; f exophtalmie; fp sueurs; f frilosité; f soif
PROC f scintigraphie; f thyroïdectomie; f surrénalectomie; f hyperglycémie provoquée; f éducation thérapeutique
DEVI f pompe à insuline; m lecteur de glycémie; m capteur sous-cutané
LABS f glycémie + mmol/L 4 6; f hémoglobine glyquée + % 4 6; f TSH + mUI/L 0,4 4; m cortisol - nmol/L 200 690
PHYS f croissance; m métabolisme basal; f puberté; f thermorégulation
GERM m Candida albicans; m Mycobacterium tuberculosis
DRUG fp gliptines; gliptine; prolonge l'effet des hormones de la satiété; sitagliptine, vildagliptine
DRUG mp sulfamides hypoglycémiants; glinide; stimule la sécrétion d'insuline; répaglinide, natéglinide
DRUG fp gliflozines; gliflozine; fait passer le sucre dans l'urine; dapagliflozine, empagliflozine

FIELD infectiologie; infectieux
ANAT m ganglion cervical; f amygdale; m sinus maxillaire; f oreille moyenne; m tissu sous-cutané; f muqueuse buccale
ROOTS adén lymphadén mastoïd sinus amygdal pharyng
DISO f grippe; f tuberculose; m paludisme; f septicémie; f varicelle; f angine bactérienne; m tétanos; f rougeole
SIGN f fièvre; mp frissons; fp adénopathies; f éruption; f odynophagie; fp courbatures; f splénomégalie; m malaise
PROC f hémoculture; m antibiogramme; f sérologie; m prélèvement de <ANAT gorge>; f vaccination; m isolement
DEVI f voie veineuse centrale; m écouvillon; m masque filtrant
LABS f CRP + mg/L 1 5; f procalcitonine + µg/L 0,1 0,5; f ferritine + µg/L 30 300
PHYS f température; f immunité; f production d'anticorps; f hydratation
GERM m Plasmodium falciparum; m virus de la grippe; m Pseudomonas aeruginosa
DRUG fp pénicillines; cilline; détruit la paroi des bactéries; amoxicilline, oxacilline, pipéracilline
DRUG fp fluoroquinolones; floxacine; bloque la division des bactéries; ofloxacine, ciprofloxacine, lévofloxacine
DRUG mp antiviraux; ciclovir; empêche la copie du virus; aciclovir, valaciclovir, ganciclovir

FIELD dermatologie; dermatologique
ANAT f peau; m derme; m cuir chevelu; m ongle; f paume; m follicule pileux; m pli du coude
ROOTS dermat kérat onych follicul épiderm mélan
DISO m psoriasis; m eczéma; f acné; m mélanome; f urticaire; f pelade; m zona; f rosacée
SIGN m prurit; fp plaques érythémateuses; f desquamation; fp bulles; m érythème; f xérose; fp papules; f alopécie
PROC f dermoscopie; f cryothérapie; f photothérapie; f biopsie de la <ANAT peau>; f exérèse; m test épicutané
DEVI m pansement hydrocolloïde; f lampe à ultraviolets; f bande de contention
LABS f tryptase + µg/L 2 11; m zinc - µmol/L 11 18; f vitamine A - µmol/L 1 3
PHYS f cicatrisation; f sudation; f pigmentation; f sécrétion de sébum
GERM m Sarcoptes scabiei; m Malassezia furfur
DRUG mp rétinoïdes; trétinoïne; règle le renouvellement des cellules; isotrétinoïne, alitrétinoïne
DRUG mp antifongiques; conazole; détruit la membrane des champignons; kétoconazole, éconazole, fluconazole
DRUG mp dermocorticoïdes; métasone; calme les lésions inflammatoires; bétaméthasone, mométasone

FIELD hématologie; hématologique
ANAT f rate; f moelle osseuse; m ganglion axillaire; m thymus; m plasmocyte; f crête iliaque
ROOTS lymph leuc érythr splén thromb hémat médull
DISO f leucémie aiguë; m lymphome; m myélome; f anémie; f hémophilie; f drépanocytose; f neutropénie; f thalassémie
SIGN f pâleur; m purpura; fp ecchymoses; fp gingivorragies; f épistaxis; fp sueurs nocturnes; fp douleurs osseuses
PROC m myélogramme; f transfusion; f greffe de <ANAT moelle osseuse>; f splénectomie; f chimiothérapie; m frottis
DEVI f chambre implantable; m filtre cave; m séparateur de cellules
LABS f hémoglobine - g/dL 12 16; m lysozyme + mg/L 5 15; m fibrinogène - g/L 2 4; f transferrine - g/L 2 4
PHYS f hématopoïèse; f coagulation; f hémostase; f maturation cellulaire
GERM m Parvovirus B19; m virus d'Epstein-Barr
DRUG mp inhibiteurs de tyrosine kinase; tinib; bloque un signal de croissance; imatinib, dasatinib, nilotinib
DRUG mp anticorps anti-CD20; tuximab; détruit les lymphocytes malades; rituximab, obinutuximab
DRUG mp antimétabolites; trexate; interrompt la division des cellules; méthotrexate, pralatrexate

FIELD ophtalmologie; ophtalmologique
ANAT m œil droit; f rétine; f cornée; m cristallin; f paupière; f macula; f conjonctive
ROOTS rétin uvé irid conjonctiv blépharo kératoconjonctiv
DISO m glaucome; f cataracte; f dégénérescence maculaire; m décollement de la <ANAT rétine>; f myopie; m strabisme
SIGN f photophobie; m larmoiement; fp myodésopsies; f baisse d'acuité; f rougeur oculaire; m scotome; f cécité
PROC f tonométrie; f périmétrie; f phacoémulsification; f vitrectomie; f angiographie; f trabéculectomie
DEVI m implant intraoculaire; f lentille de contact; m laser vert
LABS f vitamine E - µmol/L 12 42; f homocystéine + µmol/L 5 15; f taurine - µmol/L 40 140
PHYS f acuité visuelle; f pression intraoculaire; f accommodation; f vision
GERM m Acanthamoeba castellanii; f Chlamydia trachomatis
DRUG fp prostaglandines; prost; facilite l'écoulement de l'humeur aqueuse; latanoprost, travoprost, bimatoprost
DRUG mp inhibiteurs de l'anhydrase carbonique; zolamide; réduit la production du liquide; dorzolamide, brinzolamide
DRUG mp anti-VEGF; cizumab; freine la pousse des vaisseaux anormaux; ranibizumab, bévacizumab

FIELD gynécologie; gynécologique
ANAT m utérus; m ovaire; m sein; m endomètre; f trompe utérine; m col de l'utérus; m placenta
ROOTS métr salping ovar mast vagin cervic endométr
DISO f endométriose; m fibrome; f prééclampsie; m kyste de l'<ANAT ovaire>; f mastose; f grossesse extra-utérine
SIGN fp métrorragies; f dysménorrhée; f aménorrhée; fp leucorrhées; fp bouffées de chaleur; f dyspareunie
PROC f hystérectomie; f césarienne; m frottis cervical; f mammographie; f amniocentèse; f cœlioscopie
DEVI m stérilet au cuivre; m pessaire; m implant contraceptif
LABS f prolactine + µg/L 5 20; m œstradiol - pmol/L 100 1200; f inhibine - ng/L 30 120
PHYS f ovulation; f lactation; m cycle menstruel; f nidation
GERM f Gardnerella vaginalis; m Streptococcus agalactiae
DRUG mp progestatifs; gestrel; bloque la maturation du follicule; lévonorgestrel, étonogestrel
DRUG mp inhibiteurs de l'aromatase; rozole; abaisse le taux des hormones; anastrozole, létrozole
DRUG mp tocolytiques; osiban; relâche la paroi et retarde le terme; atosiban, barusiban
"""

SUFFIXES_DISO = ("ite", "opathie", "ose", "osclérose", "omégalie", "orragie", "algie", "oplasie", "omalacie")
SUFFIXES_PROC = ("ectomie", "oscopie", "ographie", "oplastie", "otomie", "opexie", "ocentèse")
COURSES = ("chronique", "aiguë", "idiopathique", "récidivante", "familiale", "nodulaire", "lente", "migratrice")
"""Feminine adjectives that join a disease in -ite, -ose and so on."""

ORGAN_DISO = ("m cancer", "m abcès", "f tumeur", "m kyste", "f lésion", "f infection", "f nécrose", "m traumatisme")
ORGAN_PROC = ("f biopsie", "f IRM", "m scanner", "f échographie", "f ponction", "f radiographie", "f résection")

EPONYM_HEADS = {
    "DISO": ("f maladie", "m syndrome", "f tumeur", "f dystrophie"),
    "PROC": ("f intervention", "m test", "f manœuvre", "f technique", "m score"),
    "DEVI": ("f sonde", "f attelle", "m cathéter", "f prothèse", "f pince"),
    "ANAT": ("m canal", "m ligament", "f glande", "m ganglion", "m muscle"),
    "PHYS": ("m réflexe", "m rythme", "m signal"),
    "SUBST": ("f protéine", "m antigène", "m facteur"),
}

COORDINATIONS = (
    ("DISO", "f insuffisance", "cardiaque rénale hépatique respiratoire surrénalienne"),
    ("DISO", "fp douleurs", "thoraciques abdominales lombaires pelviennes articulaires"),
    ("DISO", "fp lésions", "cutanées hépatiques osseuses cérébrales vertébrales"),
    ("DISO", "fp infections", "urinaires respiratoires cutanées ostéoarticulaires"),
    ("DISO", "fp métastases", "hépatiques pulmonaires osseuses cérébrales"),
    ("PROC", "m scanner", "thoracique abdominal cérébral pelvien"),
    ("PROC", "f échographie", "cardiaque abdominale rénale pelvienne"),
    ("PROC", "fp biopsies", "cutanées hépatiques rénales bronchiques"),
    ("ANAT", "fp artères", "coronaires rénales pulmonaires carotides"),
    ("ANAT", "mp ganglions", "cervicaux axillaires inguinaux médiastinaux"),
    ("CHEM", "mp vaccins", "antigrippal antitétanique antipneumococcique"),
)

ADULTS = "m patient; f patiente; m homme; f femme; m retraité; f retraitée; m agriculteur; f institutrice"
CHILDREN = "m garçon; f fille; m enfant; f adolescente; m adolescent; f fillette; m nourrisson"
KIN = "f mère; m père; m frère; f sœur; m fils; f grand-mère; f tante; m cousin; m jumeau"
ANIMALS = "m chat; m chien; m lapin; m perroquet; m hamster; m rat; m poney; m pigeon; m furet; f chèvre"
FLUIDS = "m sang; f urine; f salive; m sérum; m liquide céphalorachidien; fp selles; f bile; f lymphe; m pus; m mucus"
INTAKES = (
    "m alcool; m tabac; m lait; f caféine; m gluten; m pollen; f poussière; m fer; m cuivre; m calcium; m potassium;"
    "m cannabis; m soja; f arachide; m latex"
)
COMMON_DRUGS = (
    "m paracétamol; f aspirine; f morphine; f codéine; f prednisone; f insuline; f adrénaline; m tramadol; f héparine;"
    "f atropine; f kétamine; f érythromycine; m oxygène; f hydrocortisone; f amiodarone; f colchicine; m lithium"
)
PHYSIOLOGY = "m jeûne; f respiration; f déglutition; m vieillissement; m réveil; f station debout; m repos"
MATERNITY = "f grossesse; m allaitement; f ménopause; m accouchement"
EXCIPIENTS = (
    "lactose monohydraté; amidon de maïs; stéarate de magnésium; cellulose microcristalline; dioxyde de titane; "
    "gélatine; glycérol; saccharose; talc; macrogol; hypromellose; eau purifiée; silice colloïdale; croscarmellose"
)
