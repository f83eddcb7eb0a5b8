package ldso

import (
	"debug/elf"
	"runtime"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Live gives the machine that this process runs on. Relative names are
// resolved against wd, the process's own working directory where it is "".
func Live(wd string) (*Machine, error) {
	fsys, err := rootfs.NewHost(wd)
	if err != nil {
		return nil, err
	}
	return NewMachine(fsys, liveCPU(), liveKernel()), nil
}

// InRoot gives the machine whose files are below a directory, on this CPU and
// kernel where it is of this architecture. Of another, the level of the CPU and
// the kernel are unknown. /proc is taken to be mounted, as in a container.
func InRoot(fsys rootfs.FS) *Machine {
	m := NewMachine(fsys, liveCPU(), liveKernel())
	machine := elf.EM_NONE
	for _, p := range Interpreters() {
		o, errno := m.Open(p)
		if errno != 0 || o.ELF == nil {
			continue
		}
		if m.CPU.runs(o.ELF) && (o.ELF.Machine == m.CPU.Machine || machine == elf.EM_NONE) || machine == elf.EM_NONE {
			machine = o.ELF.Machine
		}
	}
	if machine != elf.EM_NONE && machine != m.CPU.Machine && !m.CPU.runs(&elfx.File{Machine: machine}) {
		m.CPU, m.Kernel = newCPU(machine, "", nil), Kernel{}
	}
	return m
}

func liveCPU() CPU {
	vendor, has := cpuFeatures()
	return newCPU(GoArch(runtime.GOARCH), vendor, has)
}

func liveKernel() Kernel {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return Kernel{}
	}
	release := make([]byte, 0, len(u.Release))
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	return ParseKernel(string(release))
}

var goArchs = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "386": elf.EM_386, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM,
	"ppc64le": elf.EM_PPC64, "ppc64": elf.EM_PPC64, "s390x": elf.EM_S390, "riscv64": elf.EM_RISCV,
	"loong64": elf.EM_LOONGARCH, "mips64le": elf.EM_MIPS, "mips": elf.EM_MIPS,
}

// GoArch is the ELF machine of a GOARCH, which OCI platforms use too.
func GoArch(arch string) elf.Machine { return goArchs[arch] }
