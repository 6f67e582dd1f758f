//! Access to an account of the program.

use core::{
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};

use anchor_lang::{
    accounts::{SlabInit, SlabSchema},
    bytemuck::Pod,
    pinocchio::ProgramResult,
    prelude,
    prelude::*,
    AccountClose, AccountInitialize, IdlAccountType, Space,
};

/// Anchor's `Account`, compiled to less code, which saves a tenth of the binary. The checks are compiled once for each
/// type, and not at every use. An account stays borrowed until the instruction ends, so it can't be loaded for
/// writing twice.
pub struct Account<T: Pod + SlabSchema>(ManuallyDrop<prelude::Account<T>>);

type LoadResult<T> = core::result::Result<Account<T>, ProgramError>;

impl<T: Pod + SlabSchema> Account<T> {
    #[inline(always)]
    fn keep(account: prelude::Account<T>) -> Self {
        Self(ManuallyDrop::new(account))
    }

    #[inline(always)]
    pub fn address(&self) -> &Address {
        self.0.address()
    }
}

impl<T: Pod + SlabSchema> AnchorAccount for Account<T> {
    type Data = T;
    const MIN_DATA_LEN: usize = <prelude::Account<T> as AnchorAccount>::MIN_DATA_LEN;
    const RELAX_READONLY_CPI_BORROW_FROM_MUT: bool =
        <prelude::Account<T> as AnchorAccount>::RELAX_READONLY_CPI_BORROW_FROM_MUT;

    #[inline(never)]
    fn load(view: AccountView) -> LoadResult<T> {
        prelude::Account::load(view).map(Self::keep)
    }

    #[inline(never)]
    unsafe fn load_mut(view: AccountView) -> LoadResult<T> {
        // SAFETY: as the caller promises.
        unsafe { prelude::Account::load_mut(view) }.map(Self::keep)
    }

    #[inline(always)]
    fn account(&self) -> &AccountView {
        self.0.account()
    }

    #[inline(always)]
    fn cpi_handle(&self) -> CpiHandle<'_> {
        self.0.cpi_handle()
    }
}

impl<T: Pod + SlabSchema + SlabInit> AccountInitialize for Account<T> {
    type Params<'a> = T::Params<'a>;

    #[inline(always)]
    fn create_and_initialize<'a>(
        payer: &AccountView,
        account: &AccountView,
        space: usize,
        owner: &Address,
        params: &Self::Params<'a>,
        seeds: Option<&[&[u8]]>,
        payer_seeds: Option<&[&[u8]]>,
    ) -> LoadResult<T> {
        prelude::Account::create_and_initialize(
            payer,
            account,
            space,
            owner,
            params,
            seeds,
            payer_seeds,
        )
        .map(Self::keep)
    }
}

impl<T: Pod + SlabSchema> Space for Account<T> {
    const INIT_SPACE: usize = prelude::Account::<T>::INIT_SPACE;
}

impl<T: Pod + SlabSchema> AccountClose for Account<T> {
    fn close(&mut self, destination: AccountView) -> ProgramResult {
        self.0.close(destination)
    }
}

impl<T: Pod + SlabSchema> Deref for Account<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Pod + SlabSchema> DerefMut for Account<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Pod + SlabSchema + IdlAccountType> IdlAccountType for Account<T> {
    const __IDL_ACCOUNT_ENTRY: Option<&'static str> = T::__IDL_ACCOUNT_ENTRY;
    const __IDL_TYPE_DEF: Option<&'static str> = T::__IDL_TYPE_DEF;

    fn __idl_account_entry() -> Option<&'static str> {
        T::__idl_account_entry()
    }

    fn __idl_type_def() -> Option<&'static str> {
        T::__idl_type_def()
    }

    fn __register_idl_deps(accounts: &mut Vec<&'static str>, types: &mut Vec<&'static str>) {
        T::__register_idl_deps(accounts, types);
    }
}
