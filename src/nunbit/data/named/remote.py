"""Where the named sets are downloaded from, and the SHA-256 of what must arrive.

Digests are of the unpacked bytes: mirrors wrap the same bytes in different gzip
files. Sources:

* MNIST and Fashion-MNIST: computed from the official files, and the same as in the
  lists of several other programs. LeCun's page no longer serves the
  files; torchvision (``datasets/mnist.py``) and TensorFlow Datasets
  (``url_checksums/mnist.txt``) name the two copies used here. Fashion-MNIST: the
  place its authors name in their README, and their own repository.
* CIFAR-10: the six files as torchvision-ruby (``datasets/cifar10.rb``) checks them
  after unpacking; the archive they come from has the MD5 that its author publishes
  (c32a1d4ab5d03f1284b67883e8d87530) and the SHA-256 of TensorFlow Datasets
  (``url_checksums/cifar10.txt``, c4a38c50...). Its author's page moved to
  ``cave.cs.toronto.edu``; the third place is Swift for TensorFlow's copy.

Sizes of the downloads are those of TensorFlow Datasets' lists.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BY_HAND", "REMOTE", "RemoteFile", "Unpacked"]


@dataclass(frozen=True)
class Unpacked:
    """One file as it is after unpacking.

    Args:
        name: Its name in the set's folder.
        size_bytes: How long it is.
        sha256: Of its bytes, as 64 hexadecimal digits.
    """

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    A gzip file holds one file and is kept as it is; a ``.tar.gz`` is unpacked.

    Args:
        name: Its name, the last part of every URL.
        size_bytes: How long the download is where it was measured; mirrors may differ.
        places: URLs of the folders that have it, the first one first.
        unpacked: What it holds.
    """

    name: str
    size_bytes: int
    places: tuple[str, ...]
    unpacked: tuple[Unpacked, ...]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where to get it, in order."""
        return tuple(f"{place}{self.name}" for place in self.places)

    @property
    def is_archive(self) -> bool:
        """Whether it is taken apart, and not kept as it is."""
        return self.name.endswith(".tar.gz")

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the files that are there when all went well."""
        return tuple(each.name for each in self.unpacked) if self.is_archive else (self.name,)


def _idx(places: tuple[str, ...], *files: tuple[str, int, str]) -> tuple[RemoteFile, ...]:
    """Describe the four IDX files of a set of 28x28 pictures: name, packed size, digest."""
    made = []
    for name, size_bytes, sha256 in files:
        count = 60_000 if name.startswith("train") else 10_000
        length = 16 + count * 28 * 28 if "images" in name else 8 + count
        made.append(RemoteFile(f"{name}.gz", size_bytes, places, (Unpacked(name, length, sha256),)))
    return tuple(made)


_BIN_BYTES = 10_000 * 3_073

REMOTE: dict[str, tuple[RemoteFile, ...]] = {
    "mnist": _idx(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            "train-images-idx3-ubyte",
            9_912_422,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1-ubyte",
            28_881,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "t10k-images-idx3-ubyte",
            1_648_877,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte",
            4_542,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion-mnist": _idx(
        (
            # The authors' place has no certificate; the digests make that harmless.
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        (
            "train-images-idx3-ubyte",
            26_421_880,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            "train-labels-idx1-ubyte",
            29_515,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            "t10k-images-idx3-ubyte",
            4_422_102,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            "t10k-labels-idx1-ubyte",
            5_148,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "cifar10": (
        RemoteFile(
            "cifar-10-binary.tar.gz",
            170_052_171,
            (
                "https://www.cs.toronto.edu/~kriz/",
                "https://cave.cs.toronto.edu/kriz/",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
            ),
            tuple(
                Unpacked(name, _BIN_BYTES, sha256)
                for name, sha256 in (
                    (
                        "data_batch_1.bin",
                        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                    ),
                    (
                        "data_batch_2.bin",
                        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                    ),
                    (
                        "data_batch_3.bin",
                        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                    ),
                    (
                        "data_batch_4.bin",
                        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                    ),
                    (
                        "data_batch_5.bin",
                        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                    ),
                    (
                        "test_batch.bin",
                        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
                    ),
                )
            ),
        ),
    ),
}
"""What is downloaded, by the name of the set."""

BY_HAND: dict[str, str] = {
    "cats-dogs": (
        "It is a part of Kaggle's Dogs vs. Cats (https://www.kaggle.com/c/dogs-vs-cats), which "
        "only gives pictures to people with an account, so it is not downloaded: fetch it there. "
        "Microsoft's free copy of Kaggle's pictures (https://download.microsoft.com/download/3/E/"
        "1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip) is another, larger "
        "selection: train on its folder `PetImages` by its path."
    ),
}
"""Why other sets are not downloaded, and where people get them."""
