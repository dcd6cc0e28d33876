"""Changes of one line of the workflows that would break running jobs; each must be found by a recorded history.

To add one: name the file, a text that occurs in it exactly once, and what stands there instead. When the code is
restructured, change the texts so that they say the same of the new code.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    what: str
    file: str
    """Its name in the folder `workflows`."""
    old: str
    """Occurs exactly once."""
    new: str


JOB, STAGE, BATCH, BATCHES = "pipeline_job.py", "stage_delivery.py", "stage_batch.py", "batches.py"
PUBLISHING = "publishing.py"
CONTROLS, REPORTING, STAGE_RECORDS = "controls.py", "reporting.py", "stage_records.py"
ADD_TIMER = "await workflow.sleep(1)"

MUTANTS = (
    # The job.
    Mutant("the book is not finished", JOB, "        await self._finish_book(end)\n", ""),
    Mutant(
        "the book is finished after the close",
        JOB,
        """        await self._finish_book(end)
        close = CloseRun(
            job_id=self._job.job_id,
            run_id=self._run_id,
            end=end,
            error_message=self._control.failure,
            stages=stages if self._state.run.generation < 2 else (),
            ends=grouped(stages) if self._state.run.generation >= 2 else (),
            unopened=self._unopened,
        )
        receipt = await take_step(
            JobActivities.close_job,
            close,
            local=self._state.run.generation >= 3,
            summary="close",
            policy=SETTLEMENT,
        )
""",
        """        close = CloseRun(
            job_id=self._job.job_id,
            run_id=self._run_id,
            end=end,
            error_message=self._control.failure,
            stages=stages if self._state.run.generation < 2 else (),
            ends=grouped(stages) if self._state.run.generation >= 2 else (),
            unopened=self._unopened,
        )
        receipt = await take_step(
            JobActivities.close_job,
            close,
            local=self._state.run.generation >= 3,
            summary="close",
            policy=SETTLEMENT,
        )
        await self._finish_book(end)
""",
    ),
    Mutant("the webhook is not started", JOB, "if self._state.run.webhook:", "if not self._state.run.webhook:"),
    Mutant("staging is not cleaned", JOB, "            await self._clean_up()\n", "            pass\n"),
    Mutant(
        "staging is cleaned before the webhook is started",
        JOB,
        """        await self._announce()
        if not""",
        """        await self._clean_up()
        await self._announce()
        if not""",
    ),
    Mutant(
        "batches are told before the row says it",
        CONTROLS,
        "            requested = control.requested\n",
        "            requested = control.requested\n            await self._batches.broadcast(requested)\n",
    ),
    Mutant(
        "a spent quota is never lifted",
        CONTROLS,
        "                control.lift_quota_pause()\n",
        "                pass\n",
    ),
    Mutant(
        "what a run that takes over finds on the row is not passed on",
        JOB,
        "self._control.open(run.providers, run.control, run.failure,",
        "self._control.open(run.providers, type(run)().control, run.failure,",
    ),
    Mutant(
        "the first batch does not wait for a pause that came before the job was open",
        JOB,
        "        await workflow.wait_condition(lambda: control.in_sync)\n",
        "",
    ),
    Mutant(
        "a cancel through Temporal is not passed on",
        JOB,
        '            self._control.request_cancel("cancelled through Temporal")\n',
        "",
    ),
    Mutant(
        "a superseded run closes the job",
        JOB,
        "        if self._control.superseded is not None:\n            return self._leave_to_another_run(",
        "        if not self._state:\n            return self._leave_to_another_run(",
    ),
    # A stage.
    Mutant(
        "ids of earlier runs are not read",
        STAGE,
        "        await learn_ids(self._job_id, self._state)\n        for round_ in",
        "        for round_ in",
    ),
    Mutant(
        "ids of a lost batch are not read",
        STAGE_RECORDS,
        "    state.correct(counts)\n    await learn_ids(job_id, state)\n",
        "    state.correct(counts)\n",
    ),
    Mutant("ids are read of jobs that carry none", STAGE_RECORDS, "while state.lacks_ids:", "while True:"),
    Mutant("nothing is salvaged", STAGE, "            await self._salvage()\n", "            pass\n"),
    Mutant("what a batch salvaged is salvaged again", STAGE, "self._salvaged or not control", "not control"),
    Mutant("stages that end as ever are salvaged", STAGE, "if has(self._run.generation, SALVAGE_LAST):", "if True:"),
    Mutant(
        "a job that ends failed is salvaged",
        STAGE,
        "if control.failure is not None or control.superseded is not None:",
        "if control.superseded is not None:",
    ),
    Mutant(
        "the records are not read after a salvage",
        STAGE,
        "            await read_records(self._job_id, self._state)\n\n",
        "\n",
    ),
    Mutant(
        "the records are read before a batch",
        STAGE,
        "            result = await self._run_child(provider, round_, batch, tuple(ordinals))\n",
        "            await read_records(self._job_id, self._state)\n"
        "            result = await self._run_child(provider, round_, batch, tuple(ordinals))\n",
    ),
    Mutant("a top-up does not wait", STAGE, "        if delay:\n", "        if delay and not round_:\n"),
    Mutant(
        "a batch in the way is not waited for",
        STAGE,
        "                await workflow.sleep(CHILD_IN_THE_WAY)\n",
        "                pass\n",
    ),
    Mutant(
        "a pause that came while the round asked for ordinals ends the round",
        STAGE,
        "the round goes on when it is lifted.\n            return 0\n",
        "the round goes on when it is lifted.\n            return None\n",
    ),
    Mutant(
        "a stage that waits for a quota sets no timer",
        STAGE,
        "                    timeout=max(back[first] - workflow.now(), timedelta(seconds=1)),\n",
        "",
    ),
    # The running batches.
    Mutant(
        "a batch is not told what came while it was starting",
        BATCHES,
        "                await self._send(handle, self._control.applied)\n",
        "                pass\n",
    ),
    Mutant(
        "batches are not told",
        BATCHES,
        "            await self._send(handle, control)\n",
        "            pass\n",
    ),
    Mutant(
        "the job does not pause when all its stages wait for a quota",
        STAGE,
        "            self._control.wait_for_quota(stage_index, first)\n",
        "",
    ),
    Mutant(
        "the job does not pause when all stages that are left wait for a quota",
        STAGE,
        "        control.end_stage(state.plan.stage_index)\n",
        "",
    ),
    # Requests and quotas.
    Mutant(
        "the timer of a quota is left running",
        CONTROLS,
        "            timer.cancel()\n",
        "            pass\n",
    ),
    # A batch.
    Mutant(
        "a batch salvages nothing",
        BATCH,
        "            await unless_refused(self._salvage(), self._stop)\n",
        "            pass\n",
    ),
    Mutant(
        "calls that wait are not dropped at a pause or a cancel",
        BATCH,
        "            if control.holds:\n                self._drop_what_waits()\n",
        "",
    ),
    Mutant(
        "calls that wait are not dropped at a permanent fault",
        BATCH,
        "        self._tally.note_stopped(reason)\n        self._drop_what_waits()\n",
        "        self._tally.note_stopped(reason)\n",
    ),
    Mutant(
        "calls that wait are not dropped at a refusal",
        BATCH,
        "reason=made.reason, final=made.final)\n        if self._tally.over:\n            self._drop_what_waits()\n",
        "reason=made.reason, final=made.final)\n",
    ),
    Mutant(
        "a call that is held is asked for again at once",
        BATCH,
        "            await workflow.sleep(HELD_PAUSE)\n",
        "            pass\n",
    ),
    Mutant(
        "a picture is settled without its attachment",
        BATCH,
        "            self._tally.supersede(attached.reason)\n        else:\n",
        "            self._tally.supersede(attached.reason)\n        if not attached.refused:\n",
    ),
    Mutant(
        "a timer before the settlement",
        BATCH,
        "            await self._settle(ordinal)\n",
        f"            {ADD_TIMER}\n            await self._settle(ordinal)\n",
    ),
    Mutant(
        "pictures of before are attached in groups",
        PUBLISHING,
        "batch.generation >= 1",
        "True",
    ),
    Mutant(
        "pictures that wait for a group go alone",
        "groups.py",
        "len(group) < self._most",
        "len(group) < 1",
    ),
    Mutant(
        "an image that is delivered already is uploaded all the same",
        BATCH,
        "            case Outcome.GENERATED:\n",
        "            case Outcome.GENERATED | Outcome.DELIVERED:\n",
    ),
    Mutant(
        "no report before the batch ends",
        REPORTING,
        "ended() or tally.worth_a_report)",
        "ended())",
    ),
    Mutant(
        "a report is not delayed after the last one",
        REPORTING,
        "\n            await workflow.wait_condition(lambda: ended() or tally.urgent, timeout=REPORT_EVERY)\n",
        "\n            pass\n",
    ),
    Mutant("a batch is cancelled with its cancel", BATCH, "            self._tally.cancel()\n", "            raise\n"),
    Mutant("a long job goes on without end", "quiet_moment.py", "workflow.patched(CONTINUES)", "False"),
    Mutant(
        "a long job does not drain its batches",
        "quiet_moment.py",
        "            await self._batches.drain()\n",
        "            pass\n",
    ),
    Mutant("a batch that starts meanwhile is not drained", BATCHES, "if self._draining:", "if False:"),
    Mutant("a drained batch begins more", BATCH, "self._drained = True", "self._drained = False"),
    Mutant("stages come in one page", "runs.py", "while run.more_stages:", "while False:"),
    Mutant("stages of before wait for their turn", JOB, "self._state.run.stages_at_once or len(stages)", "1"),
    Mutant(
        "after a lost batch ordinals are counted on",
        STAGE,
        "        told_all = state.note_batch(ordinals, result, decided)\n",
        "        told_all = result is not None and state.note_batch(ordinals, result, decided)\n",
    ),
    Mutant("runs of before ask for no ordinals", STAGE, "self._run.generation >= 2 and (first", "(first"),
    Mutant("rounds of before go on after a late pause", STAGE, "not workflow.patched(APPLIED_LATE)", "False"),
    Mutant(
        "a late pause goes unseen",
        STAGE,
        "return self._control.applied.version == applied or not",
        "return True or not",
    ),
    Mutant("runs of before open locally", JOB, "local=self._job.generation >= 3", "local=True"),
    Mutant("runs of before close locally", JOB, "local=self._state.run.generation >= 3", "local=True"),
    Mutant("batches of before settle locally", PUBLISHING, "self._batch.generation >= 3 and", ""),
    Mutant("local steps hold calls up", PUBLISHING, " and not self._begins_more()", ""),
    Mutant("quotas of before grow", JOB, "quota_spread() if workflow.patched(QUOTAS_GROW) else None", "quota_spread()"),
    # The others.
    Mutant(
        "a webhook that was given up is delivered", "webhook.py", "            raise\n", "            return None\n"
    ),
    Mutant(
        "housekeeping waits first",
        "housekeeping.py",
        "        return await workflow.execute_activity_method(",
        f"        {ADD_TIMER}\n        return await workflow.execute_activity_method(",
    ),
    Mutant(
        "the look for waiting jobs waits first",
        "waiting_jobs.py",
        "        return await workflow.execute_activity_method(",
        f"        {ADD_TIMER}\n        return await workflow.execute_activity_method(",
    ),
)
