package proxmox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// complete does what follows the archive: size, notes, protection, retention,
// the archive's own log; and it gives the lock back.
func (d *dump) complete(s *state) error {
	info, err := os.Stat(d.file)
	if err != nil {
		return err
	}
	if err := d.infos("archive file size: " + fileSize(info.Size())); err != nil {
		return err
	}
	if tpl := d.opts.Get("notes-template"); tpl != "" {
		if err := d.infos("adding notes to backup"); err != nil {
			return err
		}
		if _, ok := deed(d.job.Deeds, "no-notes"); ok {
			if err := d.t.log("WARN: unable to add notes - Error writing file %s.notes: No space left on device", d.shown()); err != nil {
				return err
			}
			d.job.Ending = append(d.job.Ending, fault.Deed{Name: "warnings", Args: "1"})
		} else if err := writeFile(d.file+".notes", []byte(d.notes(s, tpl))); err != nil {
			return err
		}
	}
	if v, _ := parseBool(d.opts.Get("protected")); v {
		if err := d.infos("marking backup as protected"); err != nil {
			return err
		}
		if err := writeFile(d.file+".protected", nil); err != nil {
			return err
		}
	}
	if err := errors.Join(d.prune(), d.infos(d.after...)); err != nil {
		return err
	}
	d.made = true // what fails from here on leaves the archive there
	if err := d.hook("backup-end"); err != nil {
		return err
	}
	if err := d.c.dropLock(d.g, "backup"); err != nil {
		return err
	}
	now := d.c.cfg.Now()
	took := now.Sub(d.job.Began).Truncate(time.Second)
	if err := d.infos(
		fmt.Sprintf("Finished Backup of VM %d (%02d:%02d:%02d)", d.g.id, int(took.Hours()), int(took.Minutes())%60, int(took.Seconds())%60),
		"!Backup finished at "+d.c.local(now)); err != nil {
		return err
	}
	if err := d.hook("log-end"); err != nil {
		if err := d.t.log("WARN: %s", err); err != nil {
			return err
		}
		d.job.Ending = append(d.job.Ending, fault.Deed{Name: "warnings", Args: "1"})
	}
	if err := os.WriteFile(d.file[:len(d.file)-len(d.extension())]+".log", []byte(strings.Join(d.logged, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return spoil(d.file, d.job.Deeds)
}

// notes fills a template in: two escapes, four variables.
func (d *dump) notes(s *state, tpl string) string {
	cluster := s.Name
	if cluster == "" {
		cluster = "standalone node"
	}
	tpl = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(tpl)
	return strings.NewReplacer("{{cluster}}", cluster, "{{guestname}}", d.g.name(),
		"{{node}}", d.g.node, "{{vmid}}", strconv.Itoa(d.g.id)).Replace(tpl)
}

// prune removes older backups of the guest after its new one.
func (d *dump) prune() error {
	keep, err := parseKeep(d.retention())
	if err != nil {
		return err
	}
	if d.opts.Get("remove") == "0" || keep.all() {
		return nil
	}
	if err := d.infos("prune older backups with retention: " + keep.String()); err != nil {
		return err
	}
	list, err := d.c.archives(d.t.rec.Node, storageOf(d.opts), d.st)
	if err != nil {
		return err
	}
	removed := 0
	for _, m := range mark(list, keep, d.c.zone, d.g.id, d.g.kind) {
		if m.mark != "remove" {
			continue
		}
		removed++
		if err := d.infos(fmt.Sprintf("removing backup '%s'", m.volid)); err != nil {
			return err
		}
		if err := m.remove(); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("pruned %d backup(s)", removed)
	if removed > 0 {
		text += " not covered by keep-retention policy"
	}
	return d.infos(text)
}

// giveUp cleans up after a failed backup.
func (d *dump) giveUp() error {
	d.t.skip = 0
	if d.g == nil {
		return nil
	}
	var errs []error
	for _, path := range []string{d.tmp, d.file} {
		if path == d.file && d.made {
			continue
		}
		if path != "" && exists(path) {
			errs = append(errs, os.Remove(path))
		}
	}
	if d.locked {
		errs = append(errs, d.c.dropLock(d.g, "backup"))
	}
	return errors.Join(errs...)
}

func fileSize(n int64) string {
	switch kb := n / 1024; {
	case kb < 1024:
		return strconv.FormatInt(kb, 10) + "KB"
	case kb < 1<<20:
		return strconv.FormatInt(kb>>10, 10) + "MB"
	default:
		return fmt.Sprintf("%.2fGB", float64(n)/(1<<30))
	}
}
