"""Word lists for the pre-training tasks: everyday English without reserved values."""

# ruff: noqa: SIM905 - lists of words read better as text

FIRST = (
    "Adam Agnes Ahmed Aisha Alan Amara Ana Andre Anna Arjun Beth Bianca Bruno Carl Cecilia Chen Claire "
    "Colin Dana Daniel Diego Dora Edgar Elena Elias Erik Esther Eva Farid Fatima Finn Fiona Frank "
    "Gabriel Gloria Hana Hannah Hassan Helen Hiro Hugo Ida Ines Ivan Ivy Jamal James Jana Jonas Josef "
    "Julia Kai Karl Kenji Laila Lara Lars Lena Liam Lina Louis Lucia Luke Magnus Marco Marta Max Mei "
    "Mila Mina Mohamed Nadia Naomi Nico Noah Nora Olga Omar Otto Pablo Pavel Pedro Petra Priya Rachel "
    "Rafael Ravi Rita Rosa Ruth Samir Simon Sofia Stefan Tara Theo Tina Uma Victor Walter Wei Yara Yusuf "
    "Zara Zoe"
).split()
LAST = (
    "Abbas Ahlberg Alvarez Andersen Bauer Becker Berg Bianchi Brown Carter Castro Chan Cohen Costa Cruz "
    "Dahl Diaz Dubois Engel Ferrari Fischer Fonseca Garcia Gomez Gupta Haas Hansen Hoffman Ibrahim Ito "
    "Jansen Kaur Keller Khan Kim Klein Kowalski Kumar Lang Larsen Lee Lopez Mancini Martin Meyer Moreau "
    "Moretti Murphy Nagy Nguyen Novak Olsen Park Patel Perez Petrov Popov Quinn Ramos Rossi Roy Russo "
    "Santos Sato Schmidt Silva Singh Stone Suzuki Tanaka Torres Vogel Wagner Wang Weber Wilson Wolf "
    "Wright Young Zhang Ziegler"
).split()
CITIES = (
    "Athens|Bergen|Berlin|Bogota|Boston|Cairo|Cardiff|Chicago|Dakar|Delhi|Dublin|Florence|Geneva|Hamburg|"
    "Hanoi|Helsinki|Istanbul|Jakarta|Kyoto|Lagos|Leeds|Lima|Lisbon|London|Lyon|Madrid|Manila|Milan|"
    "Montreal|Munich|Nairobi|New York|Nice|Oslo|Paris|Perth|Porto|Prague|Quito|Riga|Rome|San Diego|"
    "Santiago|Seoul|Seville|Sofia|Tokyo|Toronto|Tunis|Turin|Vienna|Warsaw|Zagreb|Zurich"
).split("|")
MONTHS = ("January February March April May June July August September October November December").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COLOURS = (
    "red blue green yellow black white brown purple orange pink grey silver golden dark light pale bright"
).split()
ADJECTIVES = (
    "old new small large heavy cheap simple modern round square soft wooden plastic clean quiet strong "
    "warm cold fresh dry short long narrow wide empty full broken early late open rare common plain local"
).split()
NOUNS = (
    "table chair window door carpet mirror candle bottle basket bucket ladder hammer needle button "
    "ribbon pocket guitar violin drum piano trumpet camera radio clock engine wheel bridge tower castle "
    "garden river mountain island forest desert valley village market school museum library theatre "
    "hospital station airport harbour apple banana cherry lemon melon peach tomato carrot onion potato "
    "cabbage spinach bread butter cheese honey sugar pepper coffee soup salad cake cookie rice noodle "
    "letter ticket map novel poem song film picture jacket coat hat scarf glove boot shirt sweater belt "
    "ring necklace watch wallet bag umbrella pencil paper folder envelope computer keyboard monitor "
    "phone cable battery plant flower tree seed leaf stone sand brick dog cat horse rabbit mouse tiger "
    "lion bear wolf fox deer sheep goat duck eagle owl parrot salmon shark whale"
).split()
VERBS = (
    "buy sell send find keep open close move carry build paint clean repair visit watch read write sing "
    "play cook bring take leave follow help call meet show teach learn count weigh measure"
).split()
KINDS = {
    "animal": (
        "dog cat horse rabbit mouse tiger lion bear wolf fox deer sheep goat duck eagle owl parrot whale"
    ).split(),
    "fruit": "apple banana cherry lemon melon peach pear plum grape mango apricot fig".split(),
    "vegetable": "tomato carrot onion potato cabbage spinach lettuce pumpkin radish leek".split(),
    "clothing": "jacket coat hat scarf glove boot shirt sweater belt sock skirt".split(),
    "instrument": "guitar violin drum piano trumpet flute harp cello banjo".split(),
    "furniture": "table chair sofa bed desk shelf bench cupboard stool".split(),
    "colour": "red blue green yellow black white brown purple orange pink".split(),
    "place": (
        "bridge tower castle museum library theatre hospital station airport harbour market school"
    ).split(),
    "nature": "river mountain island forest desert valley lake beach meadow".split(),
    "tool": "hammer saw drill wrench ladder axe shovel rake".split(),
    "vehicle": "car bus train truck bicycle boat plane tram ferry".split(),
    "food": "bread butter cheese honey soup salad cake cookie rice noodle".split(),
}
FEELINGS = {
    "happy": "great wonderful lovely excellent perfect delightful pleasant amazing".split(),
    "unhappy": "awful terrible horrible boring dreadful poor disappointing nasty".split(),
    "calm": "quiet peaceful gentle restful slow easy relaxed".split(),
    "angry": "furious rude annoying unfair hostile outraged".split(),
}
KEYS = (
    "name id code price city date colour size weight height age email phone team score title author year "
    "pages room floor seat gate level type model brand owner status country street number total amount "
    "unit time day start end place address manager player points club length width speed depth rating "
    "label group class teacher subject note language genre director species breed job salary office "
    "village river engine crew captain guest nights"
).split()
LINKS = (
    " for | in | at | on | with | from | to | and | by | of | has | is | costs | near | until | since |"
    " under | over | owns | likes | sold | sees | wants | gets | paid | needs | makes | keeps | uses |"
    " about | after | before | plus | or | not | as | via | per |, |: |; | - | / | = | (|) |, then |"
    ", also | is called | lives in | works at | comes from | starts on | ends at | belongs to |"
    " is due on | was sent to | moved to | looks like |. Next |. Also |. It is "
).split("|")
OPENERS = (
    "|||The |A |Note: |Dear |Today |Item |Hello |News: |Our |Here is |We met |Welcome |Report on |Look: |"
    "This is |Number |Record |Entry |Please see |In short, |For |From |On "
).split("|")
CLOSERS = "|.|.|.|!| now.| today.| again.| there.| only.| each.| in total.|)|;| thanks.| (done)| -- ok".split(
    "|"
)
