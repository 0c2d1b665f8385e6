// Package lab is a simulated site: every system in it speaks its real wire
// protocol, keeps its state in one folder, and can be told to fail. It stands
// behind `--lab` and behind the tests of everything that talks to systems.
//
// Its rule: a client must not be able to tell. A backup of the lab is a real
// archive made of the guest's real bytes, and a restore brings those bytes
// back out of the archive and of nothing else, so a test that passes here has
// read and written what it would read and write in production. What the lab
// does not play, it refuses plainly (501 "the lab does not serve …"); it never
// pretends.
//
// # The site
//
//	pve1.lab:8006   Proxmox VE 9.2 API over TLS, API tokens only. One node
//	                without a cluster; AddNode makes a second one.
//	pve1.lab:22     sftp to the node's files as root: /srv/backup/dump, …
//	api.cloudflare.lab:443
//	                Cloudflare's API v4 over TLS, to read: an account with the zone
//	                example.org, rulesets, a list, a tunnel (package lab/cloudflare)
//	unifi.lab:443   a UniFi console: automatic backups and settings
//	offsite.lab:22  sftp-only account "runner", whose home is its root
//	Root()          "/" of the machine on which runner runs, with the USB disks
//	                /media/offline-a and offline-b (LUKS; offline-b is with its
//	                keeper at first), and /srv/copies on a disk of its own;
//	                Program plays the programs for disks there
//
// Storages: local (/var/lib/vz) and backup (/srv/backup), both "dir". The node
// lives in Europe/Berlin: archive names carry that time.
//
//	100 VM erp      running, agent, firewall; scsi0 48 MiB, efidisk0 540672 B
//	101 CT mail     running, unprivileged, firewall; about 200 files: links,
//	                holes, odd modes and names
//	102 VM git      stopped; virtio0 16 MiB, scsi1 8 MiB with backup=0
//	103 CT wiki     stopped; bind mount mp0, which a backup leaves out and a
//	                restore by a token refuses
//	900 VM scratch  stopped, 4 MiB
//
// Secrets, TLS certificate and ssh host keys are the same in every world, so a
// site file can name them. They protect nothing.
//
// # A world
//
// A world is a folder. The process that opens it first holds a lock and serves
// it; another one that opens it meanwhile uses the first one's servers, which
// it finds in serving.json. Close abandons all work where it stands, exactly
// as a crash does, and Open goes on with it: the same UPID, the same archive
// name, the log continued.
//
// Tests change a world through its methods, or through its files while no
// method runs: pve/cluster.json (run states, storages, tokens),
// pve/nodes/*/etc/pve (configurations), pve/nodes/*/srv/backup/dump
// (archives), cloudflare/**.json, devices.json, faults.json. All of them are read anew for every
// request.
//
// The content of a container's disk is the folder pve/trees/…, its owners in a
// file beside it, so that the lab runs without root; the .raw file that the
// node shows in images/ is empty.
//
// # Faults
//
// A Fault names a place (On; "*" is any run of characters), a deed (Do), how
// many meetings pass first (Skip) and how often the deed is done then (Times,
// 0: always). They are in faults.json as [{"on": …, "do": …, "skip": 1,
// "times": 1}]; how often each was met survives the process, and Inject resets
// it. Durations are Go's ("2s").
//
// The table of all places and deeds is FaultPlaces; runner lab fault --list prints it, and
// Inject refuses what is not in it: nothing would ever go wrong.
//
// # Sources of facts
//
// The API is checked against Proxmox's own schema of 9.2.3, cut to what is
// served (proxmox/schema.json.gz: every path is named, so an unknown one is
// 501 and an unplayed one says so). Behaviour follows recorded answers of a
// real 9.2.11 node, which the tests play again (proxmox/testdata), and where
// those say nothing Proxmox's Perl source. No client library of Proxmox is
// used here: a fake that shares code with its client would share its mistakes.
package lab
