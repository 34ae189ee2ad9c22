"""What signals do in a training and outside of one."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
from pytorch_lightning import Callback

from helpers.training import tiny_dataset, tiny_fit
from winnow.core.errors import REQUEUE, STOPPED, Interrupted
from winnow.parallel import interruption


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _unchanged():
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    yield
    assert {number: signal.getsignal(number) for number in interruption.SIGNALS} == before


@pytest.fixture
def foreign():
    """A handler of somebody else's for SIGUSR2, and how often it was called."""
    calls = []
    before = signal.signal(signal.SIGUSR2, lambda number, _frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGUSR2, before)


def code_of(work, *contexts):
    """The code of the Interrupted that the work ends with, within the contexts."""
    with ExitStack() as stack:
        stop = stack.enter_context(pytest.raises(Interrupted))
        for context in contexts:
            stack.enter_context(context())
        work()
    return stop.value.code


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, REQUEUE), (signal.SIGUSR1, REQUEUE), (signal.SIGUSR2, REQUEUE), (signal.SIGINT, STOPPED)],
)
def test_outside_a_training_they_end_at_once(number, code):
    def work():
        send(number)
        raise AssertionError("not stopped")

    assert (REQUEUE, STOPPED) == (75, 130)
    assert code_of(work, interruption.handled) == code
    assert code_of(work, interruption.handled, interruption.handled) == code


def test_deferred_they_wait_for_act():
    def work():
        assert not interruption.pending()
        send(signal.SIGTERM)
        assert interruption.pending()
        interruption.act()
        raise AssertionError("not stopped")

    assert code_of(work, interruption.handled, interruption.deferred) == REQUEUE
    assert not interruption.pending()


def test_deferred_they_wait_no_longer_than_to_the_end_and_an_error_does_not_lose_them():
    def work():
        send(signal.SIGINT)
        raise ValueError

    assert code_of(lambda: send(signal.SIGINT), interruption.handled, interruption.deferred) == STOPPED
    assert code_of(work, interruption.handled, interruption.deferred) == STOPPED
    assert not interruption.pending()


def test_a_second_ctrl_c_does_not_wait():
    def work():
        send(signal.SIGINT)
        send(signal.SIGINT)
        raise AssertionError("not stopped")

    assert code_of(work, interruption.handled, interruption.deferred) == STOPPED
    assert not interruption.pending()


def test_a_foreign_handler_is_called_in_our_place(foreign):
    with interruption.handled():
        send(signal.SIGUSR2)
        assert foreign == [signal.SIGUSR2]
        with interruption.deferred():
            send(signal.SIGUSR2)
            assert len(foreign) == 1
            interruption.act()
            assert len(foreign) == 2
            interruption.act()
        assert len(foreign) == 2


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with interruption.handled():
            send(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_nothing_happens():
    seen = []

    def work():
        with interruption.handled(), interruption.deferred():
            interruption.reclaim()
            interruption.act()
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_blocked_they_do_not_reach_a_child_before_it_can_ignore_them():
    starts = (
        "import time; print(flush=True); time.sleep(0.3); from winnow.parallel import interruption as it; it.ignore();"
    )
    ends = "print('lives', flush=True); time.sleep(60)"
    with interruption.blocked():
        child = subprocess.Popen([sys.executable, "-c", starts + ends], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        for number in interruption.SIGNALS:
            child.send_signal(number)
        assert child.stdout.readline() == "lives\n"
        child.send_signal(signal.SIGTERM)
        assert child.poll() is None
        child.kill()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(interruption.SIGNALS)


def test_one_that_ignores_them_hears_them_for_a_while(monkeypatch):
    def handlers():
        return {signal.getsignal(number) for number in interruption.SIGNALS}

    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    monkeypatch.setattr(interruption, "_ignoring", False)  # as it is again afterwards
    try:
        interruption.ignore()
        assert code_of(lambda: send(signal.SIGTERM), interruption.heard) == REQUEUE
        assert handlers() == {signal.SIG_IGN}
        send(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Sends(Callback):
    """Sends this process signals within a step, and counts the steps that were finished."""

    def __init__(self, *numbers, step=2):
        self.numbers, self.step, self.steps = numbers, step, 0

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step == self.step:
            for number in self.numbers:
                send(number)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps += 1


def test_a_foreign_handler_that_returns_lets_the_training_go_on(foreign, tmp_path):
    path, sends = tmp_path / "one.ckpt", Sends(signal.SIGUSR2)
    with interruption.handled():
        fitted = tiny_fit(tiny_dataset(), callbacks=[sends], checkpoint=path)
    assert (foreign, sends.steps) == ([signal.SIGUSR2], fitted.steps)
    assert path.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, REQUEUE), (signal.SIGINT, STOPPED)])
def test_a_training_finishes_its_step(tmp_path, number, code):
    sends = Sends(number)
    with interruption.handled(), pytest.raises(Interrupted) as stop:
        tiny_fit(tiny_dataset(), callbacks=[sends], checkpoint=tmp_path / "one.ckpt")
    assert (stop.value.code, sends.steps) == (code, 3)


def test_a_second_ctrl_c_ends_a_training_in_its_step(tmp_path):
    sends = Sends(signal.SIGINT, signal.SIGINT)
    with interruption.handled(), pytest.raises(Interrupted) as stop:
        tiny_fit(tiny_dataset(), callbacks=[sends], checkpoint=tmp_path / "one.ckpt")
    assert (stop.value.code, sends.steps) == (STOPPED, 2)


def test_without_a_checkpoint_a_training_ends_at_once():
    sends = Sends(signal.SIGUSR1)
    with interruption.handled(), pytest.raises(Interrupted):
        tiny_fit(tiny_dataset(), callbacks=[sends])
    assert sends.steps == 2


def test_a_users_own_handlers_are_left_alone(foreign, tmp_path):
    tiny_fit(tiny_dataset(), callbacks=[Sends(signal.SIGUSR2)], checkpoint=tmp_path / "one.ckpt")
    assert foreign == [signal.SIGUSR2]
