package proxmox

import (
	"regexp"
	"slices"
	"strings"
)

// What the lab's answers may differ in from the recorded ones.

// notPlayed are scenarios that are not sent.
var notPlayed = map[string]string{
	"tasks": "they are those of the hours before; TestReplay plays tasks, their filters and the errors",
}

// leftAlone are calls that are not sent.
var leftAlone = map[string]string{
	"archives-05":      "the lab has no lzo",
	"archives-06":      "the lab has no lzo",
	"extractconfig-03": "the archive that is kept of this guest is a later one, with a description",
	"extractconfig-08": "the archive that is kept of this guest is a later one, with a description",

	"restore-vm-no-disks-05": "the archive that is kept of this guest is a later one, with a description",
	"restore-vm-no-disks-11": "the archive that is kept of this guest is a later one, with tags",
	"no-SDN.Audit-103":       "by then the ACL had entries of the next scenario",
	"volume-sizes-08":        "the lab shows archives alone, no disks",
}

// urls are of calls that are not sent, wherever they are recorded.
var urls = map[string]string{
	"/cluster/sdn/prefix-lists":          "501 is of the recorded installation, which was without that part",
	"/cluster/sdn/route-maps/entries":    "501 is of the recorded installation, which was without that part",
	"/cluster/sdn/fabrics/all":           "a stand-in answered on the recorded installation",
	"/nodes/pve1/tasks?limit=2":          "it lists tasks of the hours before",
	"/nodes/pve1/tasks?limit=3":          "it lists tasks of the hours before",
	"/nodes/pve1/tasks?vmid=121&limit=3": "it lists tasks of the hours before",
}

func left(c call) string {
	if why := leftAlone[c.Name]; why != "" {
		return why
	}
	return urls[strings.TrimPrefix(c.Request.URL, "/api2/json")]
}

// fields may have other values, or be there on one side alone.
var fields = []struct {
	at  *regexp.Regexp // path in the body
	why string
}{
	{regexp.MustCompile(`\.(cpu|mem|memhost|uptime|disk|diskread|diskwrite|netin|netout|pressure\w+|blockstat|ballooninfo|balloon|freemem|nics|maxdisk|maxswap|swap|pid|pstart|maxcpu|qmpstatus|running-\w+|proxmox-support|clipboard)(\.|\[|$)`), "figures of a machine, of a running guest and of its process"},
	{regexp.MustCompile(`\.(avail|total|used|used_fraction|maxmem)$`), "figures of a machine"},
	{regexp.MustCompile(`\.(starttime|endtime|ctime|next-run)$`), "times"},
	{regexp.MustCompile(`\.digest$`), "made of another text than Proxmox makes it of; of which part, partsOf holds"},
	{regexp.MustCompile(`\.ssl_fingerprint$`), "of another certificate"},
	{regexp.MustCompile(`\.vmgenid$|\.meta$`), "drawn by chance"},
}

// may gives the reason why a field may differ.
func (s *truth) may(at string) string {
	for _, f := range fields {
		if f.at.MatchString(at) {
			return f.why
		}
	}
	return ""
}

// chance are lines of logs that are there by chance.
var chance = []*regexp.Regexp{
	regexp.MustCompile(`^trying to acquire lock\.\.\.$|^ OK$`),
	// of mke2fs: the lab makes no file system
	regexp.MustCompile(`^(Creating filesystem|Filesystem UUID|Superblock backups|\s+\d+(, \d+)*$|$)`),
	regexp.MustCompile(`^progress \d+%`),                       // as many as the machine is slow
	regexp.MustCompile(`^failed to connect to monitor socket`), // of a stand-in for systemd
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-F]{2}(:[0-9A-F]{2}){5}`)

// masked hides what is drawn by chance in a text.
func masked(text string) string {
	if words := strings.Split(text, ","); len(words) > 1 && !strings.ContainsAny(text, " =:") { // the types of a storage
		slices.Sort(words)
		text = strings.Join(words, ",")
	}
	text = strings.ReplaceAll(text, ".qcow2", ".raw") // all disks of the lab are raw
	return uuidText.ReplaceAllString(text, "CHANCE")
}
