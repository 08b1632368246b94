"""Each rule finds what it is for, with its line, and leaves alone what only looks like it."""

import pytest

from mlbom.reproduce.lint.lint import RULES, UNREADABLE
from mlbom.reproduce.values import CauseKind
from tests.unit.reproduce.lint.conftest import Lint

# rule -> snippets that it must find, at the line marked with `# here`.
FOUND: dict[str, tuple[str, ...]] = {
    "unseeded-torch": (
        "import torch\nx = torch.randn(3)  # here",
        "from torch import nn\nm = nn.Sequential(nn.Linear(2, 2))  # here\nm(1).backward()",
        "import torch.nn as nn\nd = nn.Dropout(0.1)  # here\nloss.backward()",
        "from torch.utils.data import DataLoader\nl = DataLoader(d, 4, shuffle=True)  # here",
        "import torch\nw = torch.empty(3)\nw.normal_()  # here",
        "import torch\ntorch.manual_seed()\nx = torch.rand(3)  # here",
        "from torch.utils.data import random_split\na, b = random_split(d, [1, 2])  # here",
        "import random\nimport torch\nrandom.seed(1)\nx = torch.randperm(3)  # here",
    ),
    "unseeded-random": (
        "import random\nrandom.shuffle(items)  # here",
        "from random import sample\nx = sample(items, 3)  # here",
        "import random, torch\ntorch.manual_seed(random.randint(0, 9))  # here",
    ),
    "unseeded-numpy": (
        "import numpy as np\nx = np.random.rand(3)  # here",
        "import numpy\nnumpy.random.shuffle(x)  # here",
        "from sklearn.model_selection import train_test_split\na = train_test_split(x)  # here",
        "import pandas as pd\nf = pd.read_csv('x').sample(frac=1)  # here",
    ),
    "clock-seed": (
        "import time, torch\ntorch.manual_seed(int(time.time()))  # here",
        "import os, random\nrandom.seed(os.getpid())  # here",
        "import time, torch\nseed = int(time.time() * 1000) % 2**32\ntorch.manual_seed(seed)  # here",
        "import random\nrandom.seed()  # here",
        "import numpy as np\nnp.random.seed(None)  # here",
        "import torch\ntorch.seed()  # here",
        "import os, random\nrandom.seed(int.from_bytes(os.urandom(4), 'big'))  # here",
        "import random\nrandom.seed(hash('name'))  # here",
        "import time\nimport numpy as np\nr = np.random.default_rng(time.time_ns())  # here",
        "from datetime import datetime\nseed_everything(seed=datetime.now().microsecond)  # here",
        "import uuid, torch\ng = torch.Generator().manual_seed(uuid.uuid4().int)  # here",
    ),
    "worker-seeding": (
        (
            "import numpy as np\nfrom torch.utils.data import DataLoader, Dataset\n"
            "np.random.seed(0)\n"
            "class D(Dataset):\n    def __getitem__(self, i):\n        return np.random.rand(3)\n"
            "loader = DataLoader(D(), batch_size=4, num_workers=2)  # here"
        ),
        (
            "import random\nfrom torch.utils.data import DataLoader, IterableDataset\n"
            "class D(IterableDataset):\n"
            "    def __iter__(self):\n        yield self.cut()\n"
            "    def cut(self):\n        return random.random()\n"
            "loader = DataLoader(D(), num_workers=args.workers)  # here"
        ),
    ),
    "unseeded-generator": (
        "import numpy as np\nr = np.random.default_rng()  # here",
        "from numpy.random import default_rng\nr = default_rng(None)  # here",
        "import numpy as np\nr = np.random.RandomState()  # here",
        "import random\nr = random.Random()  # here",
        "import random\nr = random.SystemRandom()  # here",
        "import torch\ng = torch.Generator()\ng.seed()  # here",
        "import numpy as np\nr = np.random.Generator(np.random.PCG64())  # here",
    ),
    "set-order": (
        "words = list(set(text.split()))  # here\nvocab = {w: i for i, w in enumerate(words)}",
        "vocab = {w: i for i, w in enumerate(set(text.split()))}  # here",
        "words = set(text.split())\nvocab = {}\nfor w in words:  # here\n    vocab[w] = len(vocab)",
        "words = set()\nfor w in text:\n    words.add(w)\nids = [hide(w) for w in words]  # here\nuse(ids)",
        "text = ' '.join({'a', 'b'})  # here\nsave(text)",
        "tags = a.keys() & b.keys()\nfor t in tags:  # here\n    out.append(t)\nuse(out[0])",
        (
            "class V:\n    def __init__(self, t):\n        self.words = set(t)\n"
            "    def index(self):\n        self.ids = list(self.words)  # here"
        ),
        "def names(t):\n    return set(t)\nfor n in names(t):  # here\n    yield_to.write(n)",
        "i = 0\nd = {}\nfor w in frozenset(words):  # here\n    d[w] = i\n    i += 1",
        "labels = [*(set(train) | set(test))]  # here\nuse(labels)",
        "import random\nrandom.seed(1)\nrandom.shuffle(list({n.lower() for n in names}))  # here",
    ),
    "listing-order": (
        "import os\nfiles = os.listdir('data')  # here\ntrain, test = files[:8], files[8:]",
        "import os\ndef load(d):\n    return [read(f) for f in os.listdir(d)]  # here",
        (
            "from pathlib import Path\ntexts = []\nfor p in Path('d').iterdir():  # here\n"
            "    texts.append(p.read_text())\nfit(texts)"
        ),
        "from glob import glob\nfiles = glob('*.png')  # here\nloader = make(files)",
        (
            "import glob\nclass D:\n    def __init__(self):\n"
            "        self.files = glob.glob('*.png')  # here\n"
            "    def __getitem__(self, i):\n        return open(self.files[i])"
        ),
        "import os\nclasses = {c: i for i, c in enumerate(os.listdir('d'))}  # here",
        (
            "import os\npaths = []\nfor root, _, names in os.walk('d'):  # here\n"
            "    for n in names:\n        paths.append(os.path.join(root, n))\nuse(paths)"
        ),
        (
            "from pathlib import Path\ntext = ''\nfor p in Path('d').rglob('*.txt'):  # here\n"
            "    text += p.read_text()"
        ),
        "import os\nwith os.scandir('d') as entries:  # here\n    use([e.path for e in entries])",
        (
            "def files(d):\n    for p in d.rglob('*.py'):  # here\n        yield p\n"
            "for f in files(d):\n    out.write(f)"
        ),
    ),
    "thread-order": (
        (
            "from concurrent.futures import as_completed\nout = []\n"
            "for f in as_completed(jobs):  # here\n    out.append(f.result())\nuse(out)"
        ),
        "out = list(pool.imap_unordered(work, items))  # here\ntrain(out)",
        (
            "from threading import Thread\nout = []\ndef work(n):\n    out.append(n * 2)  # here\n"
            "ts = [Thread(target=work, args=(n,)) for n in range(4)]\nuse(out)"
        ),
        (
            "from threading import Thread\nfound = {}\ndef read(n):\n    found[n] = load(n)  # here\n"
            "ts = [Thread(target=read, args=(n,)) for n in range(4)]\nuse(list(found.values()))"
        ),
        (
            "from concurrent.futures import ThreadPoolExecutor\nvocab = {}\n"
            "def add(w):\n    vocab[w] = len(vocab)  # here\n"
            "with ThreadPoolExecutor() as pool:\n    pool.map(add, words)"
        ),
        (
            "from concurrent.futures import as_completed\nfound = {}\n"
            "for f in as_completed(jobs):  # here\n    found[jobs[f]] = f.result()\n"
            "use([x for x in found.values()])"
        ),
    ),
    "hash-value": (
        "is_test = hash(path) % 10 == 0  # here",
        "bucket = hash(word) & 1023  # here",
        "import torch\nx = torch.tensor([hash(w) for w in words])  # here",
        "items = sorted(items, key=hash)  # here",
        "slot = id(x) % 8  # here",
    ),
    "clock-value": (
        "import time, torch\nx = torch.tensor([time.time()])  # here",
        "import time\nfold = time.time_ns() % 5  # here",
    ),
    "clock-loop": (
        "import time\nend = time.time() + 60\nwhile time.time() < end:  # here\n    opt.step()",
        (
            "import time\nt = time.monotonic()\nfor b in loader:\n    loss.backward()\n"
            "    if time.monotonic() - t > 600:  # here\n        break"
        ),
    ),
    "unpinned-download": (
        "from transformers import AutoModel\nm = AutoModel.from_pretrained('org/model')  # here",
        "from transformers import AutoModel\nNAME = 'gpt2'\nm = AutoModel.from_pretrained(NAME)  # here",
        "m = A.from_pretrained('org/model', revision='main')  # here",
        "from huggingface_hub import hf_hub_download\nhf_hub_download('org/m', 'a.bin')  # here",
        "from huggingface_hub import snapshot_download\nsnapshot_download(repo_id='org/m')  # here",
        "from datasets import load_dataset\nd = load_dataset('imdb', split='train')  # here",
        "import torch\nm = torch.hub.load('org/repo', 'net')  # here",
        "from urllib.request import urlretrieve\nurlretrieve('https://example.org/d.zip', 'd')  # here",
        "import requests\nURL = 'https://example.org/d'\nr = requests.get(URL)  # here",
        (
            "from torch.hub import load_state_dict_from_url\n"
            "s = load_state_dict_from_url('https://example.org/w.pt')  # here"
        ),
    ),
    "cudnn-benchmark": (
        "import torch\ntorch.backends.cudnn.benchmark = True  # here",
        "import torch.backends.cudnn as cudnn\ncudnn.benchmark = True  # here",
        "from torch.backends import cudnn\ncudnn.benchmark = True  # here",
        "from lightning import Trainer\nt = Trainer(benchmark=True)  # here",
    ),
    "tf32": (
        "import torch\ntorch.backends.cuda.matmul.allow_tf32 = True  # here",
        "import torch\ntorch.set_float32_matmul_precision('high')  # here",
        "import torch\ntorch.backends.fp32_precision = 'tf32'  # here",
    ),
    "determinism-off": (
        "import torch\ntorch.use_deterministic_algorithms(False)  # here",
        "import torch\ntorch.backends.cudnn.deterministic = False  # here",
        "import torch\ntorch.set_deterministic_debug_mode('default')  # here",
    ),
    "autotune": ("import torch\nf = torch.compile(f, mode='max-autotune')  # here",),
    "nondeterministic-op": (
        "import torch\nx.index_put_((i,), v, accumulate=True)  # here",
        "import torch\nx.scatter_add_(0, i, v)  # here",
        "import torch.nn.functional as F\ny = F.interpolate(x, scale_factor=2, mode='bilinear')  # here",
        "from torch import nn\nloss = nn.CTCLoss()  # here",
        "import torch\ny = torch.bincount(x, weights=w)  # here",
        "from torch import nn\ne = nn.EmbeddingBag(9, 3, mode='max')  # here",
        "import torch\ntorch.use_deterministic_algorithms(False)\nx.index_add_(0, i, v)  # here",
    ),
    "late-variable": (
        "import os\nos.environ['PYTHONHASHSEED'] = '0'  # here",
        "import os\nimport torch\nos.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'  # here",
        "import os\nimport numpy as np\nos.environ.setdefault('OMP_NUM_THREADS', '1')  # here",
        "import os\ndef seed():\n    os.environ['OMP_NUM_THREADS'] = '1'  # here\n\nimport torch",
        "import os, torch\nos.environ.update({'MKL_NUM_THREADS': '1'})  # here",
    ),
    "machine-threads": (
        "import os, torch\ntorch.set_num_threads(os.cpu_count() // 2)  # here",
        "import os, torch\ntorch.set_num_threads(int(os.environ['SLURM_CPUS_PER_TASK']))  # here",
        "import os, torch\nn = len(os.sched_getaffinity(0))\ntorch.set_num_threads(n)  # here",
        (
            "import multiprocessing, os\n"
            "os.environ['OMP_NUM_THREADS'] = str(multiprocessing.cpu_count())  # here"
        ),
        (
            "import os, random, torch\nfrom torch.utils.data import DataLoader\ntorch.manual_seed(1)\n"
            "class D:\n    def __getitem__(self, i):\n        return random.random()\n"
            "l = DataLoader(D(), num_workers=os.cpu_count())  # here"
        ),
    ),
}

# rule -> snippets that it must leave alone.
CLEAN: dict[str, tuple[str, ...]] = {
    "unseeded-torch": (
        "import torch\ntorch.manual_seed(0)\nx = torch.randn(3)",
        "import torch\ng = torch.Generator().manual_seed(0)\nx = torch.randn(3, generator=g)",
        "from torch.utils.data import DataLoader\nl = DataLoader(d, shuffle=True, generator=g)",
        "from torch.utils.data import DataLoader\nl = DataLoader(d, shuffle=False)",
        "import torch\nx = torch.zeros(3)\ny = torch.arange(4)",
        "from lightning import seed_everything\nimport torch\nseed_everything(1)\ntorch.rand(1)",
        (
            "from transformers import TrainingArguments, Trainer\nimport torch\n"
            "a = TrainingArguments('out')\nx = torch.rand(3)"
        ),
        "from torch import nn\nm = nn.Linear(2, 2)\nm.load_state_dict(read())",
        "from accelerate.utils import set_seed\nimport torch\nset_seed(args.seed)\ntorch.rand(1)",
    ),
    "unseeded-random": (
        "import random\nrandom.seed(3)\nrandom.shuffle(items)",
        "import random\nr = random.Random(3)\nr.shuffle(items)",
        "import numpy as np\nnp.random.seed(1)\nnp.random.shuffle(items)",
    ),
    "unseeded-numpy": (
        "import numpy as np\nnp.random.seed(0)\nx = np.random.rand(3)",
        "import numpy as np\nr = np.random.default_rng(0)\nx = r.random(3)",
        (
            "from sklearn.model_selection import train_test_split\n"
            "a = train_test_split(x, random_state=1)"
        ),
        "import random\nrandom.seed(1)\nx = random.sample(items, 3)",
    ),
    "clock-seed": (
        "import torch\ntorch.manual_seed(1)",
        "import torch\ntorch.manual_seed(args.seed)",
        "import time, torch\nseed = args.seed or int(time.time())\ntorch.manual_seed(seed)",
        "import time\nstarted = time.time()\nprint(time.time() - started)",
        "import random, torch\ndef seed_worker(i):\n    random.seed(torch.initial_seed() % 2**32)",
        "import random\nrandom.seed(hash((1, 2)))",
        "import random\nrandom.seed(*args)",
    ),
    "worker-seeding": (
        (
            "import numpy as np, torch\nfrom torch.utils.data import DataLoader\ntorch.manual_seed(0)\n"
            "class D:\n    def __getitem__(self, i):\n        return np.random.rand(3)\n"
            "loader = DataLoader(D(), num_workers=2)"
        ),
        (
            "import numpy as np\nfrom torch.utils.data import DataLoader\n"
            "class D:\n    def __getitem__(self, i):\n        return np.random.rand(3)\n"
            "loader = DataLoader(D(), num_workers=0)"
        ),
        (
            "import numpy as np\nfrom torch.utils.data import DataLoader\n"
            "class D:\n    def __getitem__(self, i):\n        return np.random.rand(3)\n"
            "loader = DataLoader(D(), num_workers=2, worker_init_fn=seed_worker)"
        ),
        (
            "from torch.utils.data import DataLoader\n"
            "class D:\n    def __getitem__(self, i):\n        return self.x[i]\n"
            "loader = DataLoader(D(), num_workers=2)"
        ),
    ),
    "unseeded-generator": (
        "import numpy as np\nr = np.random.default_rng(7)",
        "import numpy as np\nr = np.random.default_rng(seed=cfg.seed)",
        "import numpy as np\nr = np.random.default_rng(**options)",
        "import torch\ng = torch.Generator()\ng.manual_seed(1)",
        "import torch\ng = torch.Generator()",
        "import random\nr = random.Random(1)",
        "game.seed()",
    ),
    "set-order": (
        "words = sorted(set(text.split()))\nvocab = {w: i for i, w in enumerate(words)}",
        "words = list(set(text.split()))\nwords.sort()\nuse(words)",
        "words = list(set(text.split()))\nwords = sorted(words)\nuse(words)",
        "n = len(list(set(text)))",
        "for i in set(range(9)):\n    out.append(i)\nuse(out)",
        "for i in {1, 2, 3}:\n    out.append(i)\nuse(out)",
        "ids = list({int(x) for x in xs})\nuse(ids)",
        "seen = set()\nfor w in words:\n    if w not in seen:\n        seen.add(w)",
        "for name in set(names):\n    check(name)",
        "extra = set(a) - set(b)\nraise ValueError(', '.join(extra))",
        "extra = set(a) - set(b)\nprint(f'extra: {list(extra)}')",
        "import logging\nlogging.info('%s', ', '.join({'a', 'b'}))",
        "total = sum(size(w) for w in set(words))",
        "lower = {w.lower() for w in set(words)}",
        "out = []\nfor w in set(words):\n    out.append(w)\nuse(sorted(out))",
        "words = list(words)\nuse(words)",
        "keep = list(set(keep))\nd = {k: v for k, v in d.items() if k in keep}",
        "frame = frame.drop(list(set(a)))",
        "x = 1 | 2\nfor i in range(x):\n    out.append(i)\nuse(out)",
        "def words(t):\n    return sorted(set(t))\nuse(list(words(t)))",
    ),
    "listing-order": (
        "import os\nfiles = sorted(os.listdir('data'))\nuse(files[0])",
        "import os\nfiles = os.listdir('data')\nfiles.sort()\nuse(files)",
        "import os\nfiles = sorted(f for f in os.listdir('d') if f.endswith('.txt'))\nuse(files)",
        "import os\nn = len(os.listdir('d'))\nif not os.listdir('d'):\n    stop()",
        "from pathlib import Path\nfor p in Path('d').glob('*.tmp'):\n    p.unlink()",
        "from pathlib import Path\nsize = sum(p.stat().st_size for p in Path('d').rglob('*'))",
        "from glob import glob\nlast = max(glob('*.pt'), key=os.path.getmtime)",
        (
            "import glob\nclass D:\n    def __init__(self):\n"
            "        self.files = glob.glob('*.png')\n        self.files.sort()\n"
            "    def __getitem__(self, i):\n        return self.files[i]"
        ),
        (
            "import os\npaths = []\nfor root, dirs, names in os.walk('d'):\n    dirs.sort()\n"
            "    for n in sorted(names):\n        paths.append(n)\nuse(paths)"
        ),
        "import os\nfor n in os.listdir('d'):\n    print(n)",
        "import os\nfound = set(os.listdir('d'))\nprint('x' in found)",
        "def files(d):\n    for p in d.rglob('*.py'):\n        yield p\nuse(sorted(files(d)))",
        "files = []\nfor d in folders:\n    files.extend(d.glob('*'))\nuse(sorted(files))",
        "from pathlib import Path\nout = []\nfor p in Path('d').iterdir():\n    out.append(p)\nout.sort()",
        "import os\nfor n in os.listdir('d'):\n    with open(n, 'w') as f:\n        f.write('x')",
    ),
    "thread-order": (
        "with ThreadPoolExecutor() as pool:\n    out = list(pool.map(work, items))\nuse(out)",
        (
            "from concurrent.futures import as_completed\nout = [None] * 9\n"
            "for f in as_completed(jobs):\n    out[jobs[f]] = f.result()\nuse(out)"
        ),
        "from concurrent.futures import as_completed\nfor f in as_completed(jobs):\n    f.result()",
        "out = sorted(pool.imap_unordered(work, items))\ntrain(out)",
        (
            "from threading import Thread\nout = []\ndef work():\n    out.append(1)\n"
            "t = Thread(target=work)\nuse(out)"
        ),
        (
            "from threading import Thread\nout = []\ndef work(n):\n    out.append(n)\n"
            "ts = [Thread(target=work, args=(n,)) for n in range(4)]\nout.sort()\nuse(out)"
        ),
        (
            "from threading import Thread\ndef work(n):\n    mine = []\n    mine.append(n)\n"
            "ts = [Thread(target=work, args=(n,)) for n in range(4)]"
        ),
        (
            "from concurrent.futures import as_completed\nfound = {}\n"
            "for f in as_completed(jobs):\n    found[jobs[f]] = f.result()\nuse(found['a'])"
        ),
        (
            "from threading import Thread\nfound = {}\ndef read(n):\n    found[n] = load(n)\n"
            "ts = [Thread(target=read, args=(n,)) for n in range(4)]\nuse(sorted(found.items()))"
        ),
    ),
    "hash-value": (
        "class A:\n    def __hash__(self):\n        return hash(self.name) ^ 3",
        "key = hash(x)",
        "seen.add(id(x))",
        "print(hash('a') % 3)",
        "b = hash((1, 2)) % 3",
    ),
    "clock-value": (
        "import time\nstarted = time.time()\nprint(round(time.time() - started, 1))",
        "import time\nname = f'run-{time.time_ns() % 1000}'",
        "import time, torch\nseed = int(time.time()) % 2**32",
        "import time\ntime.sleep(time.perf_counter_ns() // 1000 % 7 / 100)",
    ),
    "clock-loop": (
        "import time\nwhile time.time() < end:\n    time.sleep(1)",
        (
            "import time\nfor b in loader:\n    loss.backward()\n    if time.time() - t > 10:\n"
            "        print(loss)"
        ),
        "for b in loader:\n    opt.step()\n    if step > 10:\n        break",
    ),
    "unpinned-download": (
        "m = A.from_pretrained('org/m', revision='0123456789abcdef0123456789abcdef01234567')",
        "m = A.from_pretrained('./out')",
        "m = A.from_pretrained(args.model)",
        "m = A.from_pretrained('gpt2', local_files_only=True)",
        "m = A.from_pretrained('gpt2', **options)",
        "from datasets import load_dataset\nd = load_dataset('csv', data_files='x.csv')",
        "import torch\nm = torch.hub.load('org/repo:v1', 'net')",
        "import torch\nm = torch.hub.load('here', 'net', source='local')",
        (
            "import hashlib\nfrom urllib.request import urlretrieve\n"
            "urlretrieve('https://example.org/d', 'd')\n"
            "assert hashlib.sha256(open('d', 'rb').read()).hexdigest() == WANTED"
        ),
        "import requests\nrequests.get(address)\nrequests.post('https://example.org', json={})",
        "from torchvision.datasets import MNIST\nd = MNIST('data', download=True)",
    ),
    "cudnn-benchmark": (
        "import torch\ntorch.backends.cudnn.benchmark = False",
        "import torch\ntorch.backends.cudnn.benchmark = args.benchmark",
        "from lightning import Trainer\nt = Trainer(max_epochs=2)",
    ),
    "tf32": (
        "import torch\ntorch.backends.cuda.matmul.allow_tf32 = False",
        "import torch\ntorch.set_float32_matmul_precision('highest')",
    ),
    "determinism-off": (
        "import torch\ntorch.use_deterministic_algorithms(True, warn_only=True)",
        "import torch\ntorch.backends.cudnn.deterministic = True",
        "import torch\ntorch.use_deterministic_algorithms(args.deterministic)",
    ),
    "autotune": ("import torch\nf = torch.compile(f)\ng = torch.compile(g, mode='default')",),
    "nondeterministic-op": (
        "import torch\ntorch.use_deterministic_algorithms(True)\nx.scatter_add_(0, i, v)",
        "import torch\nx.index_put_((i,), v)",
        "import torch.nn.functional as F\ny = F.interpolate(x, scale_factor=2)",
        "import torch\ny = torch.bincount(x, minlength=4)",
        "import numpy as np\ny = np.bincount(x, w)",
        "from torch import nn\ne = nn.EmbeddingBag(9, 3)",
    ),
    "late-variable": (
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport torch",
        "import os\nos.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'\nfrom torch import nn",
        "import os, sys\nos.environ['PYTHONHASHSEED'] = '0'\nos.execv(sys.executable, sys.argv)",
        "import os, torch\nos.environ['WANDB_MODE'] = 'offline'",
        "import os, torch\nx = os.environ['OMP_NUM_THREADS']",
    ),
    "machine-threads": (
        "import os, torch\ntorch.set_num_threads(int(os.environ['APP_THREADS']))",
        "import torch\ntorch.set_num_threads(1)",
        "import torch\ntorch.set_num_threads(config['threads'])",
        "import os\nfrom torch.utils.data import DataLoader\nl = DataLoader(d, num_workers=os.cpu_count())",
        "import os\nprint(os.cpu_count())",
    ),
}


def _cases(table: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(rule, source) for rule, sources in table.items() for source in sources]


@pytest.mark.parametrize(("rule", "source"), _cases(FOUND))
def test_it_finds_the_line(lint: Lint, rule: str, source: str) -> None:
    line = next(n for n, text in enumerate(source.split("\n"), 1) if text.endswith("# here"))
    found = [f for f in lint(source) if f.rule == rule]
    assert [f.line for f in found] == [line]
    assert found[0].path == "train.py"
    assert found[0].message
    assert found[0].fix


@pytest.mark.parametrize(("rule", "source"), _cases(CLEAN))
def test_it_leaves_alone(lint: Lint, rule: str, source: str) -> None:
    found = lint(source)
    assert rule not in {f.rule for f in found}
    assert UNREADABLE not in {f.rule for f in found}, "the snippet is no Python"


def test_every_rule_is_tested_both_ways_and_has_a_name_of_its_own() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) == set(FOUND) == set(CLEAN)
    assert all(rule.kind is not CauseKind.UNKNOWN and rule.fix for rule in RULES)


def test_a_seed_set_in_another_file_counts(lint: Lint) -> None:
    assert not lint(
        "import torch\nfrom seeds import fix\nfix(1)\nx = torch.randn(3)",
        seeds="import torch\n\n\ndef fix(seed):\n    torch.manual_seed(seed)\n",
    )


def test_a_function_for_all_seeds_is_believed_only_as_far_as_its_body_goes(lint: Lint) -> None:
    found = lint(
        "import torch\nfrom seeds import set_seed\nset_seed(1)\nx = torch.randn(3)",
        seeds="import random\n\n\ndef set_seed(seed):\n    random.seed(seed)\n",
    )
    assert [f.rule for f in found] == ["unseeded-torch"]


def test_names_that_come_by_a_star_are_known(lint: Lint) -> None:
    found = lint("from common import *\nx = np.random.rand(3)", common="import numpy as np\n")
    assert [f.rule for f in found] == ["unseeded-numpy"]
