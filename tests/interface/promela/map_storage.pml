/* BPF map storage: the cgroup's death and the map's both unlink one element; who takes it out of the
 * storage frees it. -DFAULT: both free.
 */
bool in_storage = true;
bool in_map = true;
bool storage_lock = false;
bool map_lock = false;
byte frees = 0;

proctype side()
{
	bool mine = false;

	if
	:: atomic { in_map || in_storage }
	:: else -> goto out
	fi;
	atomic { !map_lock -> map_lock = true };
	in_map = false;
	map_lock = false;
	atomic { !storage_lock -> storage_lock = true };
#ifdef FAULT
	mine = true;
#else
	mine = in_storage;
#endif
	in_storage = false;
	storage_lock = false;
	if
	:: mine -> atomic { frees++; assert(frees == 1) }
	:: else
	fi;
out:	skip
}

init {
	atomic { run side(); run side() }
}
