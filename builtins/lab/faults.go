package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/builtins/lab/graph"
	"github.com/neosofia/runner/builtins/lab/host"
)

// FaultPlace is a kind of places at which things can go wrong, and the deeds there.
type FaultPlace struct {
	On    string // as the operator writes it: "vzdump VMID"
	Doc   string
	Deeds []FaultDeed

	heads []string // first words of its places
	rest  func(words []string) error
}

// FaultDeed is one thing that goes wrong: "slow D".
type FaultDeed struct{ Do, Doc string }

func (d FaultDeed) name() string { name, _, _ := strings.Cut(d.Do, " "); return name }

// FaultPlaces is the table of all faults.
func FaultPlaces() []FaultPlace {
	machines := []string{"pve1.lab", "offsite.lab", "api.cloudflare.lab", "unifi.lab", graph.API}
	return []FaultPlace{
		{On: "METHOD /path", Doc: "a request of Proxmox VE (path without /api2/json) or Cloudflare (without /client/v4)", heads: []string{"GET",
			"POST", "PUT", "DELETE", "PATCH"}, Deeds: []FaultDeed{
			{"answer STATUS [TEXT]", "that answer, nothing is done; TEXT is the reason phrase; 401 and 59x have an empty body"},
			{"answer-after STATUS [TEXT]", "the work is done, or begins, then that answer (Proxmox VE)"},
			{"cut", "the work is done, or begins; no answer, the connection is cut (Proxmox VE)"},
			{"cut-before", "nothing is done, the connection is cut"},
			{"hang", "no answer until the client leaves"},
			{"hang-after", "the work is done, or begins; no answer until the client leaves (Proxmox VE)"},
			{"slow D", "the answer comes after D"},
			{"no-task", "200 with data OK, nothing is done (Proxmox VE)"},
			{"move NODE", "the request's guest is on NODE when it comes; the node is added when it is missing"},
			{"lock NAME [D]", "the request's guest is locked when it comes, for D or for good"},
			{"bare STATUS TEXT", "an error whose texts are bare strings (Cloudflare)"},
			{"limit [SECONDS]", "429, with Retry-After when SECONDS is given (Cloudflare)"},
			{"remaining N", "the rate limit's header says that N requests are left (Cloudflare)"},
			{"garbage [TEXT]", "200 with a page of HTML (Cloudflare)"},
			{"empty", "a list without entries (Cloudflare)"},
			{"endless", "every page is full and names a next one (Cloudflare)"},
			{"moving", "total_count grows with every request (Cloudflare)"},
			{"short", "the last entry of a list, or of the BIND export, is left out (Cloudflare)"},
		}},
		{On: "vzdump VMID", Doc: "a task; also qmrestore, vzrestore, qmstart, qmstop, qmshutdown, qmdestroy, vzstart, …", rest: vmid,
			heads: []string{"vzdump", "qmrestore", "vzrestore", "qmstart", "qmstop", "qmshutdown", "qmdestroy", "vzstart", "vzstop", "vzshutdown",
				"vzdestroy"}, Deeds: []FaultDeed{
				{"slow D", "the work takes D, spread over its bytes"},
				{"fail TEXT", "that guest fails; the task ends with \"job errors\" (vzdump) or TEXT"},
				{"full", "the storage runs full half way (vzdump)"},
				{"lock NAME", "vzdump finds the guest locked"},
				{"warnings [N]", "the task ends with WARNINGS: N, its work done"},
				{"exit TEXT", "the task ends with TEXT, its work done; \"exit unexpected status\" leaves the log without an end"},
				{"truncate [N]", "the finished archive is cut at byte N; -N counts from its end, none is its middle (vzdump)"},
				{"flip [N]", "the finished archive gets a flipped bit there (vzdump)"},
				{"remove", "the finished archive vanishes (vzdump)"},
				{"say LINE", "the task's log gets this line (vzdump)"},
				{"no-notes", "no room for the archive's notes: it has none (vzdump)"},
			}},
		{On: "pvestatd NODE", Doc: "the statistics of a node", heads: []string{"pvestatd"}, Deeds: []FaultDeed{{"hang",
			"the node's status is unknown, and it works all the same"}}},
		{On: "storage NAME", Doc: "a storage of Proxmox VE", heads: []string{"storage"}, Deeds: []FaultDeed{
			{"disabled", "it is switched off"}, {"unmounted", "its file system is not mounted"}, {"full [wholly]",
				"no archive fits; wholly: not even a folder can be made"}}},
		{On: "hook PHASE", Doc: "a phase of the node's hook script (script: in its /etc/vzdump.conf): job-end, …", heads: []string{"hook"},
			Deeds: []FaultDeed{{"fail", "the script ends badly in that phase"}}},
		{On: "agent VMID", Doc: "the guest agent of a VM", heads: []string{"agent"}, rest: vmid, Deeds: []FaultDeed{{"down",
			"its ping is refused though the VM runs"}}},
		{On: "tls HOST", Doc: "the certificate of " + strings.Join(append(machines[:1:1], machines[2:]...), ", "), heads: []string{"tls"},
			rest: oneOf(machines), Deeds: []FaultDeed{{"new-cert", "another certificate"}}},
		{On: "ssh HOST", Doc: "the login at pve1.lab or offsite.lab", heads: []string{"ssh"}, rest: oneOf(machines), Deeds: []FaultDeed{
			{"new-hostkey", "another host key"}, {"refuse", "the connection is refused"}, {"hang [sftp]",
				"no answer; sftp: the login works, and SFTP never begins"},
			{"say TEXT", "the account's shell prints it before SFTP"}, {"no-sftp", "SFTP is not offered"}}},
		{On: "run HOST PROGRAM", Doc: "a program on the node, such as nft, tar, rear, journalctl, date", heads: []string{"run"}, rest: program,
			Deeds: runDeeds()},
		{On: "here PROGRAM", Doc: "a program of the machine on which runner runs: lsblk, smartctl, umount, cryptsetup, wipefs, mkfs.ext4",
			heads: []string{"here"}, Deeds: []FaultDeed{{"missing", "no such program"}, {"exit CODE [TEXT]",
				"it ends so, with TEXT on standard error"}}},
		{On: "disk NAME", Doc: "a disk that travels: offline-a, offline-b", heads: []string{"disk"}, Deeds: []FaultDeed{
			{"failing", "its SMART status is FAILED"}, {"read-only", "it cannot be written"}, {"busy", "it cannot be unmounted"}}},
		{On: "disks HOST", Doc: "the disks of the node", heads: []string{"disks"}, rest: oneOf(machines), Deeds: []FaultDeed{{"without NAME",
			"that disk is not there"}}},
		{On: "unifi METHOD /path", Doc: "a request of the UniFi console", heads: []string{"unifi"}, Deeds: []FaultDeed{
			{"answer STATUS [TEXT]", "that answer"}, {"limit [SECONDS]", "429, with Retry-After when SECONDS is given"}, {"cut",
				"the connection is cut"},
			{"hang", "no answer until the client leaves"}, {"truncate N", "the answer is cut at byte N"}}},
		{On: "graph METHOD /path", Doc: "a request of OneDrive: of its API, its login, or the hosts of uploads and downloads",
			heads: []string{"graph"},
			Deeds: []FaultDeed{
				{"answer STATUS [CODE]", "that answer, nothing is done"}, {"limit [SECONDS]", "429, with Retry-After when SECONDS is given"},
				{"cut", "the work is done, the answer is lost"}, {"cut-before", "nothing is done, the connection is cut"},
				{"hang", "no answer until the client leaves"}, {"portal", "200 with a page of HTML, as a hotel's network answers"},
				{"gone", "the upload session is not known any more"}, {"flip", "the file is stored with a flipped bit"},
				{"other", "another file's bytes"}, {"short", "half of the file, then the connection is cut"},
				{"late", "a list leaves out its last entry"}}},
		{On: "sftp HOST OP", Doc: "an operation of SFTP: get, put, remove, rename, mkdir, rmdir, list, stat, setstat, fsync, statvfs, link, " +
			"symlink, readlink, or *", heads: []string{"sftp"}, rest: oneOf(machines), Deeds: []FaultDeed{
			{"deny", "permission denied"}, {"cut [N]", "the connection ends, after N bytes of the file"}, {"enospc N",
				"writing fails after N bytes"},
			{"truncate N", "what is read or written past byte N is lost silently"}, {"hang", "no answer until the connection ends"}, {"slow D",
				"the answer comes after D"},
			{"grow", "somebody writes to the end of the file that is read"},
			{"append-only", "no overwriting, renaming, removing, changing"}}},
	}
}

// runDeeds are what programs of the node can meet; package lab/host explains those of each.
func runDeeds() []FaultDeed {
	out := []FaultDeed{{"missing", "no such program"}, {"exit CODE [TEXT]", "it ends so, with TEXT on standard error"}, {"killed",
		"a signal ends it"}, {"hang", "it never ends"},
		{"slow D", "it begins after D"}, {"ahead D", "date: the clock is ahead"}, {"refuse", "nft: the ruleset is refused"}, {"lose",
			"unshare: a table comes back without a rule"},
		{"says TEXT", "tar: it prints this line"}, {"cut", "its output ends early (tar, journalctl, rear)"}, {"corrupt",
			"journalctl: a file of the journal is damaged"}, {"ends", "journalctl: it ends early"}}
	for _, d := range []FaultDeed{{"old", "it is 2.4"}, {"busy", "another one is running"}, {"asks",
		"it asks a question and ends because nobody answers"},
		{"asks-on", "it asks, and goes on with its default"}, {"space", "the disk is full half way"}, {"error TEXT",
			"it ends with an error of its own"},
		{"dies", "it is killed half way, by SIGKILL"}, {"no-modules", "the image has no kernel modules; it ends with 0"}, {"no-udev",
			"the image has no udev; it ends with 0"},
		{"forgets", "it does not obey the exclusions of its layout"}, {"alone", "the image starts a recovery by itself"}, {"leaks PATH",
			"the image holds that file"},
		{"pulled", "the stick vanishes half way"}, {"warns", "it says that recovery may fail; it ends with 0"}} {
		out = append(out, FaultDeed{d.Do, "rear: " + d.Doc})
	}
	return out
}

// check refuses a fault that no place or no deed of the lab is meant by: nothing would
// ever go wrong.
func check(f Fault) error {
	words := strings.Fields(f.On)
	if len(words) == 0 {
		return fmt.Errorf("a fault wants a place and a deed")
	}
	deed, _, _ := strings.Cut(f.Do, " ")
	var known, heads []string
	for _, p := range FaultPlaces() {
		heads = append(heads, p.heads...)
		if !slices.ContainsFunc(p.heads, func(h string) bool { return fault.Match(words[0], h) }) {
			continue
		}
		if p.rest != nil && len(words) > 1 {
			if err := p.rest(words[1:]); err != nil {
				return fmt.Errorf("fault %q: %w", f.On, err)
			}
		}
		for _, d := range p.Deeds {
			if d.name() == deed {
				return nil
			}
			known = append(known, d.Do)
		}
	}
	if known == nil {
		return fmt.Errorf("fault %q: nothing in the lab is called %s, want %s", f.On, words[0], strings.Join(heads, ", "))
	}
	return fmt.Errorf("fault %q: %q cannot happen there, want %s", f.On, f.Do, strings.Join(known, ", "))
}

func vmid(words []string) error {
	if strings.Trim(words[0], "0123456789*") != "" {
		return fmt.Errorf("%q is no VMID", words[0])
	}
	return nil
}

// oneOf wants the name of a machine; tests add nodes, pve2.lab, pve3.lab, …
func oneOf(names []string) func([]string) error {
	return func(words []string) error {
		if strings.Contains(words[0], "*") || strings.HasPrefix(words[0], "pve") || slices.Contains(names, words[0]) {
			return nil
		}
		return fmt.Errorf("the lab has no machine %q, want %s", words[0], strings.Join(names, ", "))
	}
}

func program(words []string) error {
	if len(words) < 2 || strings.Contains(words[1], "*") {
		return nil
	}
	if _, ok := host.Commands()[words[1]]; !ok {
		return fmt.Errorf("the node has no program %q", words[1])
	}
	return nil
}
