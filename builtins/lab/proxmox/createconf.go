package proxmox

// The configurations of a new world's guests.

const erpConf = `#ERP, production
agent: 1
bios: ovmf
boot: order=scsi0;net0
cores: 2
efidisk0: local:100/vm-100-disk-1.raw,efitype=4m,pre-enrolled-keys=1,size=528K
memory: 2048
meta: creation-qemu=10.0.13,ctime=1789000000
name: erp
net0: virtio=BC:24:11:10:00:01,bridge=vmbr0,firewall=1
onboot: 1
ostype: l26
scsi0: local:100/vm-100-disk-0.raw,size=48M
scsihw: virtio-scsi-single
smbios1: uuid=0b3c2e10-4a52-4a77-9d3e-0a1b2c3d4e5f
tags: prod
vmgenid: 1f0a4c61-6d0c-4ab1-9c0e-8d2f6b7a5c43
`

const gitConf = `boot: order=virtio0
cores: 1
memory: 1024
meta: creation-qemu=10.0.13,ctime=1789000100
name: git
net0: virtio=BC:24:11:10:00:02,bridge=vmbr0
onboot: 1
ostype: l26
scsi1: local:102/vm-102-disk-1.raw,backup=0,size=8M
scsihw: virtio-scsi-single
smbios1: uuid=5a1d7b7e-8f0b-4f0e-b7a4-3f6f2f1d9c02
vmgenid: 9b7de6a4-50b3-4d60-8cf5-1f1f0f6a7d11
virtio0: local:102/vm-102-disk-0.raw,size=16M
`

const scratchConf = `#for tests only
boot: order=scsi0
cores: 1
memory: 256
meta: creation-qemu=10.0.13,ctime=1789000200
name: scratch
net0: virtio=BC:24:11:10:00:09,bridge=vmbr0
ostype: l26
scsi0: local:900/vm-900-disk-0.raw,size=4M
scsihw: virtio-scsi-single
smbios1: uuid=d0c1f7a2-33c4-4c57-8f3b-0fd4f2e61b90
vmgenid: 4d2e9c83-7c1f-4a06-93a2-6f3be1c5a908
`

const mailConf = `arch: amd64
cores: 1
hostname: mail
memory: 512
net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:10:01:01,ip=10.77.0.101/24,type=veth
onboot: 1
ostype: debian
rootfs: local:101/vm-101-disk-0.raw,size=1G
swap: 0
tags: prod
unprivileged: 1
`

const wikiConf = `arch: amd64
cores: 1
hostname: wiki
memory: 256
mp0: /srv/shared,mp=/mnt/shared
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:10:01:03,ip=dhcp,type=veth
ostype: debian
rootfs: local:103/vm-103-disk-0.raw,size=512M
swap: 0
unprivileged: 1
`

const clusterFirewall = `[OPTIONS]
enable: 1
policy_in: DROP
policy_out: ACCEPT
log_ratelimit: enable=1,rate=1/second,burst=5

[ALIASES]
AdminNet 192.0.2.0/24 # admins

[IPSET mgmt] # management hosts
dc/adminnet
203.0.113.10 # jump host
!203.0.113.66

[RULES]
IN ACCEPT -source +mgmt -p tcp -dport 22,8006 -log nolog # mgmt in
GROUP web -i vmbr0
|IN SSH(DROP) -i vmbr0 -source dc/adminnet

[group web] # web servers
IN HTTP(ACCEPT)
IN ACCEPT -p tcp -dport 443 # https
`

const hostFirewall = `[OPTIONS]
enable: 1
tcpflags: 1

[RULES]
IN ACCEPT -source +dc/mgmt -p tcp -dport 22
`

const sdnZones = `simple: lan
	ipam pve
	mtu 1450

vlan: dmz
	bridge vmbr0
`

const sdnVnets = `vnet: office
	zone lan
	alias office

vnet: public
	zone dmz
	tag 20
`

const sdnSubnets = `subnet: lan-10.20.0.0-24
	vnet office
	gateway 10.20.0.1
	snat 1
`

const interfaces = `auto lo
iface lo inet loopback

iface nic0 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.10/24
	gateway 192.0.2.1
	bridge-ports nic0
	bridge-stp off
	bridge-fd 0
`

const erpFirewall = `[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -i net0 -p tcp -dport 443
`

const mailFirewall = `[OPTIONS]
enable: 1
policy_in: DROP

[ALIASES]
relay 198.51.100.7

[RULES]
IN ACCEPT -i net0 -source guest/relay -p tcp -dport 25
IN ACCEPT -i net0 -p tcp -dport 993
`
