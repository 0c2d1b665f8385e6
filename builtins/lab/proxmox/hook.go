package proxmox

import (
	"errors"
	"fmt"
	"strings"
)

// A node's hook script (script: in /etc/vzdump.conf) is called at each phase of a job.
// The lab's says which one; the fault "hook PHASE" makes it fail.

// hook calls it for a job.
func (c *Cluster) hook(t *task, words ...string) error {
	conf, err := c.vzdumpConf(t.rec.Node)
	if err != nil || conf["script"] == "" {
		return err
	}
	call := strings.Join(words, " ")
	if err := t.log("INFO: hook: %s", call); err != nil {
		return err
	}
	due, err := c.cfg.Faults.Due("hook "+words[0], "fail")
	if err != nil || len(due) == 0 {
		return err
	}
	if err := t.log("INFO: no room in the safe"); err != nil {
		return err
	}
	return fmt.Errorf("command '%s %s' failed: exit code 3", conf["script"], call)
}

// abort ends a job whose own hook failed.
func (c *Cluster) abort(t *task, failed error) error {
	return errors.Join(c.hook(t, "job-abort"), t.log("ERROR: Backup job failed - %s", failed), failed)
}

// hook calls it for a guest.
func (d *dump) hook(phase string) error {
	if d.g == nil {
		return nil
	}
	return d.c.hook(d.t, phase, d.mode(), fmt.Sprint(d.g.id))
}
