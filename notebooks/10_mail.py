# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The answer, as a mail
#
# Composed from what you choose, checked as a list would want it, and left beside this page as text
# and as an mbox. Nothing is sent.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many seeds; quick speaks of the packet hook alone
machine: str = "zen4-genoa"  # whose figures: a name of `cgsim machines`
second_machine: str = ""  # looked at before others for another answer; empty: none of yours
kernel: str = "7.3.4"  # whose struct offsets and code: 7.3.4 or 6.12.117
seed: int = 1  # of the first replicate; the others take the following ones
replicates: int = 0  # 0: as many as decide
users: list = []  # whose numbers: packet-hook, driver, counter, bpf-map; none: as the preset says
sections: list = []  # contention, updates, interface, elsewhere; none: all
quote: str = ""  # file of the mail that is answered, as your reader saves it; empty: the thread's
in_reply_to: str = ""  # Message-ID of that mail, if the file does not say it
author: str = "Your Name <you@example.org>"  # From: of the mbox

# %%
from cgsim.experiments.places_of_use import USERS
from cgsim.kernel import kernel_versions
from cgsim.machines import list_machines
from cgsim.report.mail import SECTIONS
from cgsim.report.parameters import Choice, Integer, ListOf, Text, check

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "second_machine": Choice("", *list_machines()),
    "kernel": Choice(*kernel_versions()),
    "seed": Integer(0, 2**32 - 1),
    "replicates": Integer(0, 100),
    "users": ListOf(Choice(*USERS), shortest=0),
    "sections": ListOf(Choice(*SECTIONS), shortest=0),
    "quote": Text(),
    "in_reply_to": Text(),
    "author": Text(),
}
check(globals(), spec)

# %% [markdown]
# ## The mail
#
# Each sentence is written from the figures of this run: none is kept from another.

# %%
from cgsim.report.envelope import answered_by, mbox, preview
from cgsim.report.mail import reply

chosen = users or {"quick": ["packet-hook"], "full": list(USERS)}[preset]
written = reply(
    preset,
    machine=machine,
    second_machine=second_machine or None,
    kernel=kernel,
    seed=seed,
    replicates=replicates or None,
    users=chosen,
    sections=sections,
    answered=answered_by(quote, in_reply_to),
)
box = mbox(written.text, author)
preview(written.text)

# %% [markdown]
# ## Checked

# %%
from cgsim.report.envelope import checks
from cgsim.report.tables import html_table

html_table(("what", "found"), checks(written.text, box), texts=True)

# %% [markdown]
# ## Saved
#
# `git send-email mail.txt` sends the text with its headers, `mutt -f mail.mbox` opens the mbox, to
# be edited and sent by you. The same from the command line: `cgsim mail --help`.

# %%
from cgsim.report.envelope import save
from cgsim.report.sentences import answer

answer(*(f"Written: {path.name}" for path in save(written.text, box)))

# %% [markdown]
# ## What was learned, how sure it is, and what would change it

# %%
from cgsim.report import advice

said = []
for one in written.answers.values():
    flips = "; ".join(advice.flips(one)) or "nowhere that was looked"
    said += [advice.verdict(one), advice.error_sentence(one["error"])]
    said.append(f"Another design is before: {flips}.")
answer(*said)

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

parameters = {name: globals()[name] for name in spec}
seeds = max(one["seeds"] for one in written.answers.values())
manifest_table(
    run_facts(parameters, seeds, seed, users=chosen, sections=sections or list(SECTIONS))
)
