package rear

import (
	"errors"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
)

// The texts are ReaR 2.7's own.
func TestRunsAreJudgedByWhatTheySay(t *testing.T) {
	const end = "2026-11-23 16:29:23.383542483 Finished running mkbackup workflow\n"
	for _, c := range []struct {
		name         string
		exit         int
		signal       string
		printed, log string
		code, want   string
	}{
		{"a good one", 0, "", "Making ISO image", end, "", ""},
		{"rear is missing", 127, "", "", "", "E_REAR_MISSING", "no program rear"},
		{"another one runs", 1, "", "ERROR: rear is already running with PID 4711, not starting again", end, "E_REAR_BUSY", "4711"},
		{"an error of its own", 143, "", "ERROR: Cannot autodetect what is used as bootloader, see default.conf\nAborting due to an error, " +
			"check /var/log/rear/rear-vm.log for details\nTerminated", "", "E_REAR_FAILED", "Cannot autodetect"},
		{"killed", -1, "killed", "Making ISO image", "", "E_REAR_KILLED", "killed"},
		{"killed, as a shell tells it", 137, "", "", "", "E_REAR_KILLED", "137"},
		{"an error of its own, without a shell between", 0, "terminated", "ERROR: Cannot autodetect what is used as bootloader, see " +
			"default.conf\nAborting due to an error, check /var/log/rear/rear-vm.log for details", "", "E_REAR_FAILED", "Cannot autodetect"},
		{"no space", 143, "", "", "tar: -: Wrote only 4096 of 10240 bytes\ndd: error writing '/x/backup.tar.gz': No space left on " +
			"device\nERROR: Could not create backup", "E_REAR_SPACE", "Could not create"},
		{"a question", 143, "", "Proceed regardless that 'mkrescue' could be destructive with a 'iso' BACKUP_URL ?\n(default 'No' timeout 1 " +
			"seconds)\nERROR: The mkrescue workflow does not work for the BACKUP_URL scheme 'iso'", "", "E_REAR_ASKED", "Proceed regardless"},
		{"0, and a log without end", 0, "", "", "Running rear mkbackup", "E_REAR_KILLED", "no end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Judge(c.exit, c.signal, c.printed, c.log)
			var own *failure.Error
			switch {
			case c.code == "" && (err != nil || v.Asked != nil || v.Warnings != nil):
				t.Errorf("got %+v, %v", v, err)
			case c.code != "" && (!errors.As(err, &own) || own.Code.Name != c.code || !strings.Contains(own.Said, c.want)):
				t.Errorf("got %v, want %s with %q", err, c.code, c.want)
			}
		})
	}
}

func TestWhatARunOnlyMentionsIsKept(t *testing.T) {
	v, err := Judge(0, "", "No partition label type for 'disk /dev/vda' (may cause 'rear recover' failure)\nEnter size for EFI "+
		"partition\n(default '1024' timeout 1 seconds)\n",
		"Broken symlink '/bin/lvs' in recovery system\nFinished running mkbackup workflow\n")
	if err != nil || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "/dev/vda") {
		t.Errorf("warnings: got %q, %v", v.Warnings, err)
	}
	if len(v.Asked) != 1 || !strings.Contains(v.Asked[0], "Enter size") {
		t.Errorf("questions: got %q", v.Asked)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(0, "ERROR: x\n(default '' timeout", "2026-11-23 16:29:23.383542483 Finished")
	f.Fuzz(func(t *testing.T, exit int, printed, log string) {
		if v, err := Judge(exit, "", printed, log); err == nil && len(v.Warnings) > maxWarn {
			t.Errorf("%d warnings", len(v.Warnings))
		}
	})
}
