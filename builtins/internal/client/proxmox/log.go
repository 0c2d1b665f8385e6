package proxmox

import (
	"fmt"
	"strings"
)

// Log is what the log of a vzdump of one guest says.
type Log struct {
	Path        string // of the archive on its node
	Finished    bool   // "Finished Backup of VM n"
	Failure     string // "Backup of VM n failed - …"
	Mode        string
	Running     bool     // the guest ran
	Frozen      bool     // the agent froze its file systems
	Unthawed    bool     // the agent did not answer to the thaw: they may still be frozen
	FreezeNote  string   // why it did not freeze them
	SizeText    string   // "archive file size: 36KB"
	Excluded    []string // disks and mount points that were left out, with the reason
	Disks       []string // "scsi0 … 1G"
	Diskless    bool     // "backup contains no disks"
	Transferred string
	Warnings    []string // lines of WARN and ERROR that are not failure of the guest
	Plain       []string // lines without INFO, WARN, ERROR or TASK: what a program printed
}

var (
	logArchive  = pattern(`creating (?:vzdump )?\S*\s*archive '([^']+)'`)
	logFinished = pattern(`^INFO: Finished Backup of VM (\d+) \(`)
	logFailed   = pattern(`^ERROR: Backup of VM (\d+) failed - (.*)`)
	logStart    = pattern(`^INFO: Starting Backup of VM (\d+) \((\w+)\)`)
	logInclude  = pattern(`^INFO: include disk '(\w+)' '[^']*'\s*(\S*)`)
	logExclude  = pattern(`^INFO: exclude disk '(\w+)' '[^']*' \((.*)\)`)
	logMount    = pattern(`^INFO: excluding (.*?mount point \w+)(?: \('([^']*)'\))? from backup(?: \((.*)\))?`)
	logSize     = pattern(`^INFO: archive file size: (\S+)`)
	logMode     = pattern(`^INFO: backup mode: (\w+)`)
)

// ReadLog reads the lines that concern one guest.
func ReadLog(lines []string, vmid Int) Log {
	var l Log
	mine := true // a log of one guest has no other
	for _, t := range lines {
		if m := logStart().FindStringSubmatch(t); m != nil {
			mine = m[1] == fmt.Sprint(vmid)
		}
		if m := logFailed().FindStringSubmatch(t); m != nil && m[1] == fmt.Sprint(vmid) {
			l.Failure = m[2]
		}
		if mine {
			l.line(t, vmid)
		}
	}
	return l
}

func (l *Log) line(t string, vmid Int) {
	switch {
	case logFinished().MatchString(t):
		l.Finished = logFinished().FindStringSubmatch(t)[1] == fmt.Sprint(vmid)
	case logArchive().MatchString(t):
		l.Path = logArchive().FindStringSubmatch(t)[1]
	case logInclude().MatchString(t):
		m := logInclude().FindStringSubmatch(t)
		l.Disks = append(l.Disks, strings.TrimSpace(m[1]+" "+m[2]))
	case logExclude().MatchString(t):
		m := logExclude().FindStringSubmatch(t)
		l.Excluded = append(l.Excluded, "disk "+m[1]+"\x00"+m[2])
	case logMount().MatchString(t):
		m := logMount().FindStringSubmatch(t)
		why := m[3]
		if why == "" {
			why = "not part of a backup"
		}
		l.Excluded = append(l.Excluded, m[1]+"\x00"+why)
	case logMode().MatchString(t):
		l.Mode = logMode().FindStringSubmatch(t)[1]
	case logSize().MatchString(t):
		l.SizeText = logSize().FindStringSubmatch(t)[1]
	case t == "INFO: status = running":
		l.Running = true
	case strings.Contains(t, "issuing guest-agent 'fs-freeze'"):
		l.Frozen = true
	case strings.HasPrefix(t, "INFO: skipping guest filesystem freeze"):
		l.FreezeNote = strings.TrimPrefix(t, "INFO: ")
	case strings.Contains(t, "backup contains no disks"):
		l.Diskless = true
	case strings.HasPrefix(t, "INFO: transferred "), strings.HasPrefix(t, "INFO: Total bytes written: "):
		l.Transferred = strings.TrimPrefix(t, "INFO: ")
	case logFailed().MatchString(t): // it is the failure itself, or another guest's
	case strings.HasPrefix(t, "WARN:"), strings.HasPrefix(t, "WARNING:"), strings.HasPrefix(t, "ERROR:"):
		l.warned(t)
	case !strings.HasPrefix(t, "INFO:") && !strings.HasPrefix(t, "TASK "):
		l.Plain = append(l.Plain, t)
	}
}

// warned takes a line of WARN or ERROR. A freeze that failed did not happen; a thaw
// that failed did: what was saved is consistent, and the guest may hang.
func (l *Log) warned(t string) {
	l.Warnings = append(l.Warnings, t)
	switch thaw := strings.Contains(t, "fsfreeze-thaw") || strings.Contains(t, "fs-thaw"); {
	case thaw:
		l.Unthawed = true
	case strings.Contains(t, "freeze"):
		l.Frozen, l.FreezeNote = false, strings.TrimPrefix(t, "ERROR: ")
	}
}

// Consistency is the word for the state that the archive holds.
func (l Log) Consistency() string {
	switch {
	case !l.Running, l.Mode == "stop":
		return "stopped"
	case l.Mode == "suspend":
		return "suspended"
	case l.Frozen:
		return "agent freeze"
	}
	return "crash-consistent"
}

// SizeFits reports whether a size in bytes is what vzdump printed: whole units,
// cut, of KB, MB (1024 based), or two decimals of GB and above.
func (l Log) SizeFits(size int64) bool {
	if l.SizeText == "" {
		return true
	}
	var n float64
	var unit string
	if _, err := fmt.Sscanf(l.SizeText, "%f%s", &n, &unit); err != nil {
		return true
	}
	scale := map[string]float64{"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[unit]
	if scale == 0 {
		return true
	}
	have := float64(size) / scale
	slack := 1.0
	if scale >= 1<<30 {
		slack = 0.01
	}
	return have > n-slack && have < n+slack
}
