"""What a resumed training passes over in silence."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

__all__ = ['ResumeHook']

# In the work directory; holds a number of iterations.
LAST_VALIDATION = 'last_validation'


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes up the validation that was interrupted, and says if all is done.

    MMEngine saves a checkpoint, then validates it. A training that is resumed
    from a checkpoint whose validation did not come to its end would go on
    without. A file in the work directory, ``last_validation``, tells.
    `tools/train.py` uses this hook.
    """

    # After those that prepare something for the validation.
    priority = 'LOWEST'
    is_training = False

    def before_train(self, runner: Runner) -> None:
        """Validates if that is due, and looks for what is left to train."""
        loop = runner.train_loop
        if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            return
        self.is_training = True
        if loop.iter == 0:
            if is_main_process():
                Path(runner.work_dir, LAST_VALIDATION).unlink(missing_ok=True)
            return
        by_epoch = not isinstance(loop, IterBasedTrainLoop)
        step = loop.epoch if by_epoch else loop.iter
        last = loop.max_epochs if by_epoch else loop.max_iters
        unit = 'epoch' if by_epoch else 'iteration'
        loop._decide_current_val_interval()
        is_due = step >= loop.val_begin and (
            step % loop.val_interval == 0 or step == last
        )
        if runner.val_loop is not None and is_due:
            validated = [is_main_process() and _is_validated(runner)]
            broadcast_object_list(validated)
            if not validated[0]:
                runner.logger.info(
                    f'The validation after {unit} {step} is made up'
                )
                runner.val_loop.run()
        if step >= last:
            option = 'max_epochs' if by_epoch else 'max_iters'
            runner.logger.warning(
                f'Nothing is left to train: the checkpoint is of {unit} '
                f'{step} of {last}; raise train_cfg.{option} to go on'
            )

    def after_val(self, runner: Runner) -> None:
        """Notes that the validation came to its end."""
        if self.is_training and is_main_process():
            file = Path(runner.work_dir, LAST_VALIDATION)
            file.write_text(str(runner.iter))


def _is_validated(runner: Runner) -> bool:
    """Whether this iteration was validated, here or beside the checkpoint."""
    folders = (Path(runner.work_dir), Path(str(runner._load_from)).parent)
    files = [folder / LAST_VALIDATION for folder in folders]
    return any(
        file.is_file() and int(file.read_text()) >= runner.iter
        for file in files
    )
